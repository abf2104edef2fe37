/*
 * cp_ca.h -- the mesh' certificate authority: its root or intermediate, and what it signs (istio-ambient.md 3).
 *
 * The root is made at the first start below <state_dir>/ca (0600), or the files of controlPlaneServer.ca are used.  The identity
 * in a certificate is always the caller's business to decide; nothing is taken over from a request but its public key.
 *
 * The worker's thread.
 */
#ifndef CONTROL_PLANE_CP_CA_H
#define CONTROL_PLANE_CP_CA_H
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/slice.h"

struct cp;
struct cp_ca;

struct cp_ca_settings {
	struct ap_slice dir;          /* for an own root */
	struct ap_slice trust_domain;
	struct ap_slice cert_file, key_file, roots_file; /* a given authority; empty: an own one. roots: default cert_file */
};

/* Blocks. NULL with err. */
struct cp_ca *cp_ca_open(const struct cp_ca_settings *settings, struct ap_error *err);
void cp_ca_free(struct cp_ca **ca);
/* Trust anchors, PEM. */
struct ap_slice cp_ca_roots(const struct cp_ca *ca);
/* What stands between a leaf and the roots, leaf-side first; empty for an own root. */
struct ap_slice cp_ca_intermediates(const struct cp_ca *ca);
/* The authority's own certificate: for dumps. */
struct ap_slice cp_ca_certificate(const struct cp_ca *ca);
/* Sign a request for this identity. lifetime_s is cut to what the authority itself has left. Appends the leaf's PEM. */
int cp_ca_issue(
    struct cp_ca *ca, struct ap_slice spiffe, struct ap_slice csr_pem, int64_t lifetime_s, struct ap_buf *out,
    struct ap_error *err);
/* A certificate and key for the control plane's own servers. names: DNS names and addresses. */
int cp_ca_issue_server(struct cp_ca *ca, const struct ap_slice *names, size_t name_count, int64_t lifetime_s,
    struct ap_buf *out_chain, struct ap_buf *out_key, struct ap_error *err);
/* The first URI name that a request asks for, or empty: what it wishes, never what it gets. */
int cp_csr_uri(struct ap_slice csr_pem, struct ap_buf *out, struct ap_error *err);

#endif
