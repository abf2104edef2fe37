/*
 * api_priv.h -- the inside of the resource API.
 *
 * Glossary: a *request* lives from its head to the end of its answer, or of its *watch*; the *target* is what its path names;
 * a *presented* object is a copy of a resource's root in the version that was asked for, sharing all below.
 */
#ifndef API_API_PRIV_H
#define API_API_PRIV_H
#include "base/arena.h"
#include "base/buf.h"
#include "base/list.h"
#include "control_plane/api/api.h"
#include "control_plane/cp_store.h"
#include "event/loop.h"
#include "http/exchange.h"

#define API_BODY_MAX ((size_t)8 * 1024 * 1024)
#define API_DISCARD_MAX ((size_t)64 * 1024 * 1024)
#define API_ANSWER_MAX ((size_t)512 * 1024 * 1024)
#define API_CONNECTIONS_MAX 2048U
#define API_WATCHES_MAX 4096U
#define API_MAGIC AP_MAGIC('a', 'p', 'i', 'q')

enum api_role { API_NOBODY, API_VIEWER, API_ADMIN };

struct cp_api {
	struct cp *cp;
	struct ap_tls *tls;
	struct ap_listener *unix_listener, *tls_listener;
	struct ap_list connections; /* struct api_connection */
	struct ap_list requests;
	struct ap_list watches;
	uint32_t connection_count, watch_count;
	char admin_token[64], viewer_token[64];
	struct cp_subscriber subscriber;
	bool draining;
};

struct api_connection {
	struct ap_list link;
	struct cp_api *api;
	struct ap_http_conn *http;
	struct ap_stream *transport; /* for its certificate; the connection owns it */
	bool local;                  /* Unix socket */
};

struct api_target {
	const struct ap_kind *kind; /* NULL: not a resource path */
	struct ap_slice group, version; /* of the path; "" is core */
	struct ap_slice namespace_, name, subresource; /* empty: not in the path */
};

enum api_format { API_JSON, API_YAML };

struct api_watch;

struct api_request {
	uint32_t magic;
	struct ap_list link;
	struct cp_api *api;
	struct cp *cp;
	struct ap_exchange *x;
	struct ap_arena *arena;
	enum api_role role;
	struct ap_slice user;
	struct ap_slice method, path, query;
	struct api_target target;
	enum api_format format;
	bool table, metadata_only; /* as= of Accept */
	struct ap_buf body;
	size_t received; /* bytes of the body, also those beyond its bound */
	struct ap_buf warnings; /* Warning headers, a line each */
	struct api_watch *watch;
};

/* -- api_path.c -- */
/* What the path names; false when there is no such path. */
bool api_target_parse(struct api_request *r);
/* Decoded query parameter, in the arena; NULL pointer: absent. */
struct ap_slice api_param(struct api_request *r, const char *name);
bool api_flag(struct api_request *r, const char *name);
void api_read_accept(struct api_request *r);

/* -- api_auth.c -- */
int api_auth_open(struct cp_api *api, struct ap_error *err);
void api_authenticate(struct api_request *r, const struct api_connection *conn);
/* May the request go on? Else it was answered. */
bool api_authorize(struct api_request *r);

/* -- api_send.c -- */
void api_send(struct api_request *r, int status, const struct ap_doc *doc);
void api_send_text(struct api_request *r, int status, const char *type, struct ap_slice text);
/* A Status object; reason as Kubernetes names them ("NotFound"). */
void api_fail(struct api_request *r, int status, const char *reason, const char *fmt, ...) AP_PRINTF(4, 5);
/* 422 with a cause for each problem, or what the code of the only problem calls for (409, 404). */
void api_fail_errors(struct api_request *r, const struct ap_errors *errs, struct ap_slice name);
struct ap_doc *api_status_doc(struct ap_arena *arena, int status, const char *reason, struct ap_slice message);
/* In the version of the path (or, for PartialObjectMetadata, cut). Shares all but the root. */
struct ap_doc *api_present(struct api_request *r, const struct ap_resource *res);
void api_send_resource(struct api_request *r, int status, const struct ap_resource *res);
/* Answered: free the request at the end of the turn. */
void api_done(struct api_request *r);

/* -- api_select.c -- */
struct api_selector;
/* NULL, and answered, when labelSelector or fieldSelector cannot be read. */
struct api_selector *api_selector_read(struct api_request *r);
bool api_selector_match(const struct api_selector *s, const struct ap_resource *res);

/* -- api_table.c -- */
struct ap_doc *api_table(struct api_request *r, struct ap_resource *const *items, size_t count, struct ap_doc *list_meta,
    bool with_columns);

/* -- api_verbs.c, api_write.c, api_patch.c, api_list.c -- */
void api_dispatch(struct api_request *r); /* the body is complete */
void api_list(struct api_request *r);
/* Those of the target's kind (and namespace) that match, sorted by path, in the arena. */
struct ap_resource **api_collect(struct api_request *r, const struct api_selector *s, size_t *out_count);
void api_create(struct api_request *r);
void api_replace(struct api_request *r);
void api_patch(struct api_request *r);
void api_delete(struct api_request *r);
void api_delete_collection(struct api_request *r);
/* The body as one document, in an arena of its own that the caller owns; NULL: answered. */
struct ap_doc *api_read_body(struct api_request *r, struct ap_arena **out_arena);
/* Check a document as fieldValidation says and give it to cp_put; takes the arena; answers. */
void api_store(struct api_request *r, struct ap_arena *arena, struct ap_doc *doc, enum cp_verb verb, int status);
unsigned api_write_flags(struct api_request *r, bool *out_bad);
/* Kubernetes' strategic merge, for the kinds that kubectl patches that way. */
void api_strategic_merge(struct ap_arena *arena, struct ap_doc *target, const struct ap_doc *patch, const char *path);
/* RFC 6902; 0, or a sentence. */
int api_json_patch(struct ap_arena *arena, struct ap_doc **doc, const struct ap_doc *patch, struct ap_error *err);

/* -- api_watch.c -- */
void api_watch_start(struct api_request *r);
void api_watch_end(struct api_request *r);
void api_watch_wake(struct cp_api *api);

/* -- api_discovery.c, api_openapi.c -- */
/* True: the path was one of these and is answered. */
bool api_discovery(struct api_request *r);
bool api_openapi(struct api_request *r);
/* api_openapi_pb.c */
void api_openapi_pb(struct ap_buf *out);

#endif
