/*
 * identity.h -- the certificates of this process: obtains, renews, keeps on disk and hands to the workers as TLS contexts.
 *
 * One store on the main loop.  It first obtains the *host identity* (spiffe://<td>/ns/ambit-system/sa/host.<name>) with the join
 * token, then everything else with the host's certificate: each *wanted* identity is requested by impersonation, renewed at
 * half-life (with jitter), retried with back-off, and kept under state_dir (0600) so that a restart needs no control plane.
 * Workers have a *view*: a map from SPIFFE id to an immutable, counted snapshot with a client and a server context.
 */
#ifndef MESH_IDENTITY_H
#define MESH_IDENTITY_H
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "base/error.h"
#include "base/refs.h"
#include "base/slice.h"

struct ap_identity_store;
struct ap_identity_view;
struct ap_jobs;
struct ap_tls;
struct ap_worker;

/* A certificate in use. Immutable. */
struct ap_identity {
	uint32_t magic;
	struct ap_refs refs;
	struct ap_slice spiffe, trust_domain, namespace_, account; /* of its own memory */
	struct ap_tls *client, *server; /* mesh contexts: HBONE out and in */
	int64_t not_before, not_after;  /* Unix seconds */
	char serial[64];
	char *chain_pem, *roots_pem; /* for dumps */
	uint64_t generation;         /* counts renewals */
};

struct ap_identity_settings {
	struct ap_worker *main;
	struct ap_jobs *jobs;
	struct ap_slice address;      /* control plane "host:port" */
	struct ap_slice server_name;  /* to verify; empty: the address' host */
	struct ap_slice ca_file;      /* root of the control plane's certificate; empty: the roots kept on disk */
	struct ap_slice token_file;   /* join token; read at each use, may be missing once enrolled */
	struct ap_slice trust_domain, host; /* host: metadata.name of the Appliance */
	struct ap_slice state_dir;    /* "<state_dir>/<role>"; made with 0700 */
	uint32_t mark;
	int64_t lifetime_s;           /* asked for; 0: 24 h */
	/* On the main loop whenever a certificate came, was renewed or expired. May be NULL. */
	void (*changed)(void *arg, const struct ap_identity *id);
	void *arg;
};

AP_PUBLIC_BEGIN
struct ap_identity_store *ap_identity_store_new(const struct ap_identity_settings *settings, struct ap_error *err);
void ap_identity_store_free(struct ap_identity_store **s); /* views were freed before */
/* From now on keep a certificate for this id. Idempotent. */
void ap_identity_want(struct ap_identity_store *s, struct ap_slice spiffe);
void ap_identity_drop(struct ap_identity_store *s, struct ap_slice spiffe);
/* The current certificate on the main thread, or NULL; not counted for the caller. */
const struct ap_identity *ap_identity_find(const struct ap_identity_store *s, struct ap_slice spiffe);
/* Every wanted identity has a valid certificate. */
bool ap_identity_is_complete(const struct ap_identity_store *s);
/* Whether this is the host's own identity; when it came, discovery can begin (ap_xds_client_reconnect). */
bool ap_identity_is_host(const struct ap_identity_store *s, const struct ap_identity *id);
/* For ap_xds_client_settings: a context for 15012 with the host's certificate (a reference for the caller), or NULL while there is
 * none; and the token for who must do without. arg: the store. */
struct ap_tls *ap_identity_xds_tls(void *arg);
void ap_identity_xds_token(void *arg, struct ap_buf *out);
/* For dumps: fn with NULL id for one that is still waited for; error: last failure, or empty. */
void ap_identity_each(struct ap_identity_store *s,
    void (*fn)(struct ap_slice spiffe, const struct ap_identity *id, const char *error, void *arg), void *arg);

/* In worker_start, on the worker's thread while main waits. changed (may be NULL): on the worker, after a certificate was swapped. */
struct ap_identity_view *ap_identity_attach(struct ap_identity_store *s, struct ap_worker *w,
    void (*changed)(void *arg, const struct ap_identity *id), void *arg);
void ap_identity_view_free(struct ap_identity_view **v);
/* NULL: none yet, or expired. Lives until the next swap: take a reference to keep it. */
struct ap_identity *ap_identity_view_find(const struct ap_identity_view *v, struct ap_slice spiffe);
/* By the server name that a peer asked for (ap_mesh_sni). */
struct ap_identity *ap_identity_view_by_sni(const struct ap_identity_view *v, struct ap_slice sni);
struct ap_identity *ap_identity_ref(struct ap_identity *id);
void ap_identity_unref(struct ap_identity **id);
/* "spiffe://td/ns/x/sa/y" into out; returns out. */
const char *ap_identity_format(struct ap_slice trust_domain, struct ap_slice namespace_, struct ap_slice account,
    char *out, size_t size);
AP_PUBLIC_END

#endif
