/*
 * cp.h -- the control plane's state, which its one worker thread owns: settings, the store, the set of all resources, and who
 * wants to know of changes.  The API (api/) and the xDS half (cp_ca, cp_enrol, cp_xds, cp_compile) meet here and nowhere else.
 *
 * Glossary: a *change* is one resource made, replaced or removed, and has a *revision*; a *commit* is what one apply wrote to
 * the store in one transaction; *subscribers* hear of all changes since they were last called, at the end of the turn, one
 * entry per key.
 *
 * Conventions between the halves
 *   JoinToken (ambit.mesh/v1alpha1): metadata.name is the <id> of ambit1.<id>.<secret>; the API makes the secret at creation and
 *   keeps only status.secretHash (SHA-256 of the <secret> text, hex) and status.expiresAt (RFC 3339).  The enrolment checks
 *   them with cp_token_find and counts status.uses by cp_set_status.  Deleting the object revokes the token.
 *   Host: made by the enrolment at a host's first certificate; spec.identities is what it may ask for, spec.revoked ends it.
 */
#ifndef CONTROL_PLANE_CP_H
#define CONTROL_PLANE_CP_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/check.h"
#include "base/error.h"
#include "base/list.h"
#include "base/slice.h"
#include "codec/doc.h"
#include "model/resource.h"

struct ap_appliance;
struct ap_config;
struct ap_host;
struct ap_loop;
struct ap_worker;
struct cp_api;
struct cp_ca;
struct cp_grpc;
struct cp_reported;
struct cp_store;
struct cp_xds;

#define CP_MAGIC AP_MAGIC('c', 'p', 'l', 'n')

/* From spec and spec.controlPlaneServer; constant while the role runs, but for what a reload may change (marked). */
struct cp_settings {
	struct ap_slice trust_domain;   /* "cluster.local" */
	struct ap_slice cluster_domain; /* "cluster.local": the end of Service host names */
	struct ap_slice state_dir;      /* <spec.stateDir>/control-plane, made 0700 */
	struct ap_slice run_dir;        /* spec.runDir */
	struct ap_slice xds_listen;     /* ":15012"; empty: not served */
	struct ap_slice api_listen;     /* ":6443"; empty: not served */
	const struct ap_slice *names;   /* SANs of the server certificate: DNS names and addresses */
	uint32_t name_count;
	uint64_t certificate_ttl_ms;     /* reload; 24 h */
	uint64_t max_certificate_ttl_ms; /* reload; most that a proxy may ask for */
	struct ap_slice root_namespace;  /* "ambit-system": AuthorizationPolicy and PeerAuthentication here are mesh wide;
	                                  * "istio-system" counts as the same */
	struct ap_slice vip_cidr;        /* 240.240.0.0/16 */
	const struct ap_doc *section;    /* spec.controlPlaneServer, or NULL: for what is not decoded here */
};

/* One entry of a notification. Counted by the notifier for the time of the call. */
struct cp_change {
	struct ap_slice key;
	const struct ap_kind *kind;
	struct ap_resource *before; /* NULL: made */
	struct ap_resource *after;  /* NULL: removed */
	bool status_only;           /* spec, labels and annotations are the same */
};

struct cp;
typedef void (*cp_change_fn)(struct cp *cp, const struct cp_change *changes, size_t count, void *arg);

struct cp_subscriber { /* embed; zero before cp_subscribe */
	struct ap_list link;
	cp_change_fn fn;
	void *arg;
};

struct cp {
	uint32_t magic;
	struct ap_host *host;
	struct ap_worker *worker; /* all below is this thread's */
	struct ap_loop *loop;
	struct cp_settings settings;
	struct ap_config *config; /* counted; settings' slices live in it */
	struct cp_store *store;
	struct cp_api *api;
	struct cp_reported *reported;
	struct cp_ca *ca;   /* NULL until cp_ca made it */
	struct cp_xds *xds; /* NULL until cp_xds made it */
	struct cp_grpc *grpc; /* NULL when xDS is not served */
	bool ready;         /* stored resources are loaded and the file's are applied */
};

/* Flags of cp_apply. */
#define CP_APPLY_DRY_RUN 1U
#define CP_APPLY_CREATE_ONLY 2U   /* an object that exists is -EEXIST */
#define CP_APPLY_KEEP_EXISTING 4U /* leave objects alone that exist: for defaults */
#define CP_APPLY_MERGE 8U         /* merge into an existing object (JSON merge patch), else replace its body */
#define CP_APPLY_TRUSTED 16U      /* made by the control plane itself: admission rules for people do not apply */

/* The set of all resources as of the last commit; valid until the next call that changes it. */
const struct ap_resource_set *cp_resources(const struct cp *cp);
uint64_t cp_revision(const struct cp *cp);

/*
 * Check, admit and commit objects in one transaction: all or none.  Unchanged objects make no revision.  Each problem goes to
 * errs (may be NULL); 0, or the first problem's negative code.  status in docs is kept only with CP_APPLY_TRUSTED.
 */
int cp_apply(struct cp *cp, struct ap_doc *const *docs, size_t count, unsigned flags, struct ap_errors *errs);
/* -ENOENT when it is not there. */
int cp_delete(struct cp *cp, struct ap_slice key, struct ap_error *err);
/* Replace status (copied; NULL removes it). No revision when it is equal. -ENOENT when the object is not there. */
int cp_set_status(struct cp *cp, struct ap_slice key, const struct ap_doc *status, struct ap_error *err);
/*
 * Set one condition in status.conditions, the way Kubernetes does: lastTransitionTime moves only when `ok` does, and
 * observedGeneration follows the object.  reason is a CamelCase word.
 */
int cp_set_condition(struct cp *cp, struct ap_slice key, const char *type, bool ok, const char *reason, const char *message,
    struct ap_error *err);
/* Several status changes in one transaction: between begin and end the calls above only collect. Nests. end commits. */
void cp_batch_begin(struct cp *cp);
int cp_batch_end(struct cp *cp, struct ap_error *err);

/* Hear of changes from here on (not of what is there now: walk cp_resources). Called on the worker, never from inside a
 * call that changes something. */
void cp_subscribe(struct cp *cp, struct cp_subscriber *s, cp_change_fn fn, void *arg);
void cp_unsubscribe(struct cp *cp, struct cp_subscriber *s);

/* Small named values that must outlive a restart and are no resources (key material goes to files). out may be used until
 * the next call. False: not there. */
bool cp_value_get(struct cp *cp, const char *name, struct ap_slice *out);
int cp_value_put(struct cp *cp, const char *name, struct ap_slice value, struct ap_error *err);

/* The JoinToken of "ambit1.<id>.<secret>" when the secret is right (compared in constant time), it has not expired and has
 * uses left; else NULL and one sentence in err that does not tell which part of a wrong token was wrong. */
struct ap_resource *cp_token_find(struct cp *cp, struct ap_slice token, struct ap_error *err);

#endif
