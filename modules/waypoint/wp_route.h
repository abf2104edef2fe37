/*
 * wp_route.h -- a host's ports and routes, compiled from ambit.waypoint.Host: immutable, counted, shared between threads.
 * Pure.  A Host that cannot be compiled whole is refused whole.
 *
 * Glossary: a *host* is a service that this waypoint serves; a *port* of it has *routes* in order; the first whose
 * *matches* hold (any of them) is taken; a *destination* is one weighted place to send to.
 */
#ifndef WAYPOINT_WP_ROUTE_H
#define WAYPOINT_WP_ROUTE_H
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/refs.h"
#include "base/slice.h"
#include "waypoint/wp_match.h"

struct wp_label {
	struct ap_slice key, value;
};

struct wp_labels {
	const struct wp_label *items;
	uint32_t count;
};

struct wp_header {
	struct ap_slice name, value; /* name in lower case; host and :authority mean the authority */
	bool has_variables;          /* the value holds %...% */
};

struct wp_headers {
	const struct wp_header *set, *add;
	const struct ap_slice *remove;
	uint32_t set_count, add_count, remove_count;
};

struct wp_destination {
	struct ap_slice service; /* "namespace/hostname" */
	struct ap_slice cluster; /* service, port and labels as one text: which endpoints */
	uint16_t port;           /* of the service */
	struct wp_labels labels; /* of the subset and of the destination itself */
	uint32_t weight;
	uint16_t invalid_status;
	bool unknown_subset; /* 503, as Istio does */
	struct ap_slice subset;
	struct wp_headers request_headers, response_headers;
};

enum wp_path_change { WP_PATH_KEEP, WP_PATH_WHOLE, WP_PATH_PREFIX, WP_PATH_REGEX };

struct wp_rewrite {
	bool is_set;
	uint8_t change; /* enum wp_path_change */
	struct ap_slice path, authority;
	struct ap_regex *regex;
};

struct wp_redirect {
	bool is_set;
	uint8_t change;
	uint16_t status, port;
	bool port_from_request;
	struct ap_slice scheme, authority, path;
};

struct wp_direct {
	bool is_set;
	uint16_t status;
	struct ap_slice body;
	struct wp_headers headers; /* in set */
};

struct wp_fault {
	uint32_t delay_ms, delay_per_million;
	uint32_t abort_per_million;
	uint16_t abort_status;
	int32_t abort_grpc_status; /* 0: none */
};

struct wp_mirror {
	struct wp_destination destination;
	uint32_t per_million;
};

struct wp_cors {
	bool is_set, allow_credentials;
	const struct wp_text *origins;
	uint32_t origin_count;
	struct ap_slice methods, headers, expose; /* joined by "," */
	uint32_t max_age_s;
};

#define WP_RETRY_5XX 1U
#define WP_RETRY_GATEWAY_ERROR 2U /* 502, 503, 504 */
#define WP_RETRY_CONNECT 4U
#define WP_RETRY_REFUSED 8U
#define WP_RETRY_RESET 16U
#define WP_RETRY_4XX 32U /* 409 */
#define WP_RETRY_CODES 64U
#define WP_RETRY_GRPC_CANCELLED 128U
#define WP_RETRY_GRPC_DEADLINE 256U
#define WP_RETRY_GRPC_INTERNAL 512U
#define WP_RETRY_GRPC_EXHAUSTED 1024U
#define WP_RETRY_GRPC_UNAVAILABLE 2048U
#define WP_RETRY_RESET_BEFORE 4096U /* reset before the request can have been seen */

struct wp_retry {
	uint32_t attempts; /* beyond the first */
	uint32_t per_try_timeout_ms, backoff_ms;
	uint32_t on;
	const uint32_t *codes;
	uint32_t code_count;
};

struct wp_match {
	struct wp_text path, method, authority, scheme;
	bool has_path, has_method, has_authority, has_scheme;
	const struct wp_named *headers, *query;
	uint32_t header_count, query_count;
	struct wp_labels source_labels;
	struct ap_slice source_namespace;
};

enum wp_lb {
	WP_LB_ROUND_ROBIN,
	WP_LB_LEAST_REQUEST,
	WP_LB_RANDOM,
	WP_LB_HASH_HEADER,
	WP_LB_HASH_COOKIE,
	WP_LB_HASH_SOURCE,
	WP_LB_HASH_QUERY
};

struct wp_route {
	struct ap_slice name;
	const struct wp_match *matches;
	uint32_t match_count; /* 0: matches everything */
	const struct wp_destination *destinations;
	uint32_t destination_count;
	uint64_t weight_total; /* 0: equal shares */
	struct wp_redirect redirect;
	struct wp_direct direct;
	struct wp_rewrite rewrite;
	struct wp_headers request_headers, response_headers;
	uint32_t timeout_ms;
	struct wp_retry retry;
	struct wp_fault fault;
	const struct wp_mirror *mirrors;
	uint32_t mirror_count;
	struct wp_cors cors;
	uint8_t lb; /* enum wp_lb */
	struct ap_slice hash_name;
};

enum wp_protocol { WP_AUTO, WP_HTTP, WP_HTTP2, WP_TCP };

struct wp_port {
	uint16_t number;
	uint8_t protocol; /* enum wp_protocol */
	const struct wp_route *routes;
	uint32_t route_count;
	struct wp_index *index;          /* NULL: so few that they are tried in order */
	const struct wp_route *fallback; /* without routes: to the host itself */
};

struct wp_host {
	uint32_t magic;
	struct ap_refs refs;
	struct ap_arena *arena; /* everything here, the message included */
	struct ap_slice key;    /* "namespace/hostname" */
	struct ap_slice namespace_, hostname;
	const struct wp_port *ports;
	uint32_t port_count;
	const struct ap_slice *policies, *lua_policies, *aliases;
	uint32_t policy_count, lua_policy_count, alias_count;
};

/* From the wire, with one reference. 0, or a negative code with the reason. */
int wp_host_decode(struct ap_slice body, struct wp_host **out, struct ap_error *err);
struct wp_host *wp_host_ref(struct wp_host *h);
void wp_host_unref(struct wp_host **h);
/* The port called; NULL: the host has none of that number. */
const struct wp_port *wp_host_port(const struct wp_host *h, uint16_t number);

/* The first route that matches, and which of its matches did (NULL when the route matches everything). NULL: none does. */
const struct wp_route *wp_route_find(
    const struct wp_port *port, const struct wp_view *v, const struct wp_match **out_match);
/* A destination by weight; dice is any 64-bit random number. NULL: the route has none. */
const struct wp_destination *wp_route_pick(const struct wp_route *r, uint64_t dice);

/* Used by wp_index.c. */
bool wp_match_holds(const struct wp_match *m, const struct wp_view *v);
struct wp_index *wp_index_new(struct ap_arena *arena, const struct wp_port *port);
const struct wp_route *wp_index_find(
    const struct wp_index *x, const struct wp_port *port, const struct wp_view *v, const struct wp_match **out_match);

#endif
