/* ca_client.h -- asks the control plane for one certificate: istio.v1.auth.IstioCertificateService/CreateCertificate over gRPC. */
#ifndef MESH_CA_CLIENT_H
#define MESH_CA_CLIENT_H
#include <stdint.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "base/error.h"
#include "base/slice.h"

struct ap_ca_call;
struct ap_ca_client;
struct ap_loop;
struct ap_tls;

struct ap_ca_settings {
	struct ap_loop *loop;
	struct ap_slice address;     /* "host:port" */
	struct ap_slice server_name; /* empty: the address' host */
	uint32_t mark;
	struct ap_tls *(*tls)(void *arg);              /* a reference, or NULL: not yet */
	void (*token)(void *arg, struct ap_buf *out);  /* "Bearer ...", or nothing */
	void *arg;
};

/* chain: leaf first, without the roots. err is NULL on success. Slices live until return. */
typedef void (*ap_ca_fn)(struct ap_slice chain_pem, struct ap_slice roots_pem, const struct ap_error *err, void *arg);

AP_PUBLIC_BEGIN
struct ap_ca_client *ap_ca_client_new(const struct ap_ca_settings *settings, struct ap_error *err);
/* Every call was cancelled or ended. */
void ap_ca_client_free(struct ap_ca_client **c);
/* The own certificate changed: later calls use new connections. */
void ap_ca_client_renew(struct ap_ca_client *c);
/* fn runs once, from the loop, never inside this call. impersonate: empty for the caller's own identity. */
struct ap_ca_call *ap_ca_request(struct ap_ca_client *c, struct ap_slice csr_pem, int64_t lifetime_s,
    struct ap_slice impersonate, ap_ca_fn fn, void *arg);
void ap_ca_cancel(struct ap_ca_call **call);
AP_PUBLIC_END

#endif
