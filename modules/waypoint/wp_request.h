/*
 * wp_request.h -- one request from its head to its last byte: filters, route, attempts upstream, the answer, the record.
 *
 * A request lives in its downstream exchange's arena and ends exactly once, by wp_request_end, which counts it, logs it and
 * lets go of everything; the exchange is closed there.
 */
#ifndef WAYPOINT_WP_REQUEST_H
#define WAYPOINT_WP_REQUEST_H
#include "waypoint/wp_priv.h"
#include "waypoint/wp_pump.h"

enum wp_flag {
#define WP_FLAG_ROW(name_, text_, doc_) WP_FLAG_BIT_##name_,
#include "waypoint/wp_flags.def"
#undef WP_FLAG_ROW
	WP_FLAG_COUNT,
};
#define WP_FLAG(name_) (1U << WP_FLAG_BIT_##name_)

#define WP_KEEP_MAX 16384 /* of a request's body, so that it can be sent again */

#define WP_REQUEST_MAGIC AP_MAGIC('w', 'p', 'r', 'q')
struct wp_request {
	uint32_t magic;
	struct ap_list link; /* of the worker */
	struct wp_worker *ww;
	struct wp_down *down;
	struct ap_exchange *x; /* downstream; the arena is its own */
	struct wp_binding *binding;
	const struct wp_port *port;
	const struct wp_route *route;
	const struct wp_match *match;
	const struct wp_destination *destination;
	struct wp_view view;
	bool undecided;           /* a match ran into its limits */
	struct ap_http_head head; /* as it goes upstream */
	struct ap_slice original_path;
	struct ap_lua_conn *lua_conn; /* NULL: no scripts */
	struct ap_lua_result *lua;
	/* the attempt in work */
	struct ap_http_dial dial;
	struct ap_http_wait *wait;
	struct ap_exchange *up;
	struct wp_endpoint *endpoint, *last_endpoint; /* counted; of this and the attempt before */
	uint32_t attempt;                             /* 1: the first */
	bool up_counted;                              /* in the endpoint's active */
	struct wp_pump in, out;                       /* request and response bodies */
	struct ap_task wake;                          /* of the pumps */
	bool in_done, out_done, in_begun;
	struct ap_slice kept; /* the body's beginning, or all of it */
	bool kept_all;
	/* time */
	struct ap_timer timer, try_timer, wait_timer; /* whole request; one attempt; delay or back-off */
	bool timer_armed;
	int64_t started_us; /* wall clock */
	uint64_t started_ns, sent_ns, answered_ns;
	/* the record */
	int status; /* sent to the client; 0: none was */
	uint32_t flags;
	const char *details;
	struct ap_slice rbac;                   /* details with a policy's name */
	bool is_grpc, is_upgrade, is_local;     /* local: we answered ourselves */
	int grpc_status;                        /* -1: none seen */
	uint64_t request_bytes, response_bytes; /* heads and bodies */
	uint64_t local_body_bytes;
};

/* wp_answer.c: local answers. A message for people; gRPC clients get it as a status. */
void wp_answer(struct wp_request *r, int status, uint32_t flags, const char *details, struct ap_slice body);
void wp_answer_fields(struct wp_request *r, int status, uint32_t flags, const char *details,
    const struct ap_fields *fields, struct ap_slice body, const char *type);

/* wp_request.c */
/* Filters passed: send it upstream. */
void wp_request_route(struct wp_request *r);
void wp_request_end(struct wp_request *r, enum ap_stream_close how);

/* wp_forward.c */
void wp_forward(struct wp_request *r);
/* Let go of the attempt in work, whatever its state. */
void wp_forward_cancel(struct wp_request *r);
/* A pump met an end in the sink's flush. */
void wp_forward_wake(struct ap_task *t, void *arg);
/* The client's stream has something to say. */
void wp_forward_down_events(struct ap_stream *s, unsigned events, void *arg);

/* wp_retry.c: whether this end of an attempt is worth another, by the route's words. */
bool wp_retry_wants_status(const struct wp_retry *retry, int status, int grpc_status);
bool wp_retry_wants_failure(const struct wp_retry *retry, bool connecting, bool replayable, bool refused);
uint64_t wp_retry_backoff_ms(const struct wp_retry *retry, uint32_t attempt, uint64_t dice);

/* f_*.c: each says whether it answered the request itself. */
bool f_lua_request(struct wp_request *r);
/* Changes the answer's head; true: it answered instead. */
bool f_lua_response(struct wp_request *r, struct ap_http_head *head);
bool f_authz_request(struct wp_request *r);
bool f_cors_request(struct wp_request *r);
void f_cors_response(struct wp_request *r, struct ap_http_head *head);
/* true: answered, or a delay runs, after which wp_request_route goes on behind the faults. */
bool f_fault_request(struct wp_request *r);
bool f_redirect_request(struct wp_request *r);
void f_rewrite_request(struct wp_request *r);
void f_headers_change(struct wp_request *r, struct ap_http_head *head, const struct wp_headers *h);
void f_mirror_request(struct wp_request *r);
void f_mirrors_end(struct wp_worker *ww);

/* wp_metrics.c */
struct wp_cache *wp_cache_new(void);
void wp_cache_free(struct wp_cache **c);
void wp_count_request(struct wp_request *r, uint64_t duration_ns);

/* wp_accesslog.c */
void wp_log_request(struct wp_request *r, uint64_t duration_ns);
/* "UF,URX" or "-". */
const char *wp_flags_format(uint32_t flags, char *out, size_t size);

#endif
