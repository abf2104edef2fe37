/*
 * cp_enrol.h -- who calls, and which identities may be given to them: join tokens, Host objects, the node authorizer.
 *
 * Glossary: a *host identity* is spiffe://<td>/ns/ambit-system/sa/host.<name>; it is what a host authenticates with once it
 * has enrolled with a token.  The *node authorizer* gives a host only the identities that its Host object names.
 *
 * The worker's thread.
 */
#ifndef CONTROL_PLANE_CP_ENROL_H
#define CONTROL_PLANE_CP_ENROL_H
#include <stdbool.h>

#include "base/error.h"
#include "base/slice.h"
#include "codec/grpc.h"

struct ap_exchange;
struct cp;

#define CP_SYSTEM_NAMESPACE "ambit-system"
#define CP_HOST_PREFIX "host."

enum cp_caller_kind {
	CP_CALLER_HOST,     /* certificate of a host identity */
	CP_CALLER_WORKLOAD, /* certificate of any other identity of this mesh */
	CP_CALLER_TOKEN,    /* join token */
};

struct cp_caller {
	enum cp_caller_kind kind;
	char *spiffe; /* of the certificate; NULL for a token */
	char *host;   /* name of the host; of a token: the one it is bound to, or "*" */
	char *token;  /* the token's text; wiped when freed */
};

/* Find out who calls, by client certificate, else by bearer token. err: a sentence that gives nothing away. */
enum ap_grpc_status cp_caller_of(struct cp *cp, struct ap_exchange *x, struct cp_caller *out, struct ap_error *err);
void cp_caller_done(struct cp_caller *c);
/* May this caller still use what it has? (Host revoked or gone, token expired or used up.) */
enum ap_grpc_status cp_caller_check(struct cp *cp, const struct cp_caller *c, struct ap_error *err);

/* May the caller have a certificate for this identity? Reads only. */
enum ap_grpc_status cp_may_have(struct cp *cp, const struct cp_caller *c, struct ap_slice spiffe, struct ap_error *err);
/* The certificate is about to be handed out: count a token's use and, for a host identity, make or renew the Host object. */
enum ap_grpc_status cp_count_issue(struct cp *cp, const struct cp_caller *c, struct ap_slice spiffe, struct ap_error *err);
/* Does the host named, by its Host object, run this account? */
bool cp_host_may_run(struct cp *cp, struct ap_slice host, struct ap_slice namespace_, struct ap_slice account);
/* "ns/sa" against a pattern: a star may stand for either part, or alone for both. */
bool cp_identity_matches(struct ap_slice pattern, struct ap_slice namespace_, struct ap_slice account);

#endif
