/*
 * wp_match.h -- one request as routes and policies see it, and the compiled conditions on its texts.  Pure: nothing here
 * waits or opens anything.
 *
 * Glossary: a *view* is the request after path normalisation, with who sent it; a *text* is a compiled StringMatch.  A regular
 * expression that runs into its limits matches nothing and makes the view *undecided*: such a request must be refused.
 */
#ifndef WAYPOINT_WP_MATCH_H
#define WAYPOINT_WP_MATCH_H
#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/arena.h"
#include "base/error.h"
#include "base/slice.h"
#include "http/fields.h"

struct ap_mesh_workload;

struct ap_regex;

struct wp_view {
	struct ap_slice method, scheme, authority;
	struct ap_slice path, query; /* query without '?'; NULL pointer: there is none */
	const struct ap_fields *fields;
	struct ap_arena *arena; /* of the request */
	bool *undecided;        /* set when an expression ran into its limits; NULL: nobody asks */
	/* The client, as TLS proved it; empty: no identity. */
	struct ap_slice identity;  /* spiffe://... */
	struct ap_slice principal; /* the same without spiffe:// */
	struct ap_slice source_namespace, source_account;
	const struct ap_mesh_workload *source; /* as far as the mesh knows it */
	struct ap_ip source_ip, destination_ip;
	uint16_t destination_port; /* as called */
	struct ap_slice sni;
	bool is_tcp; /* no HTTP: fields of HTTP are unknown */
};

enum wp_text_kind {
	WP_TEXT_EXACT,
	WP_TEXT_PREFIX,
	WP_TEXT_SUFFIX,
	WP_TEXT_ELEMENTS, /* prefix of whole path elements */
	WP_TEXT_REGEX,
	WP_TEXT_PRESENT,
	WP_TEXT_ABSENT,
	WP_TEXT_TEMPLATE, /* path with {*} and {**} */
	WP_TEXT_NEVER,
};

struct wp_text {
	uint8_t kind; /* enum wp_text_kind */
	bool ignore_case;
	struct ap_slice text;
	struct ap_regex *regex; /* freed with the arena it was compiled in */
};

struct wp_named {
	struct ap_slice name;
	struct wp_text value;
	bool invert;
};

struct Ambit__Waypoint__StringMatch;

/* Freed with the arena. NULL with err: refused. */
struct ap_regex *wp_regex_new(struct ap_arena *arena, struct ap_slice pattern, unsigned flags, struct ap_error *err);

/* From the wire; texts are not copied: the message lives in the same arena. */
int wp_text_compile(struct ap_arena *arena, const struct Ambit__Waypoint__StringMatch *m, bool ignore_case,
    struct wp_text *out, struct ap_error *err);
/* As Istio writes a value: "*" present, "abc*" prefix, "*abc" suffix, "abc" exact. */
struct wp_text wp_text_pattern(struct ap_slice value);
/* value with a NULL pointer: absent. */
bool wp_text_matches(const struct wp_text *t, bool *undecided, struct ap_slice value);

/* Value of a header of the request, several joined by ","; NULL pointer: absent. ":authority" and the like work too. */
struct ap_slice wp_view_header(const struct wp_view *v, struct ap_slice name);
/* First value of a query parameter, as it stands; NULL pointer: absent. */
struct ap_slice wp_view_query(const struct wp_view *v, struct ap_slice name);
/* Cut "spiffe://td/ns/x/sa/y" into the view's parts. */
void wp_view_set_identity(struct wp_view *v, struct ap_slice identity);

enum wp_normalise { WP_NORMALISE_NONE, WP_NORMALISE_BASE, WP_NORMALISE_MERGE, WP_NORMALISE_DECODE };
/*
 * Normalise the path (query apart) as Istio's options say: BASE resolves dot segments, decodes unreserved characters and
 * turns '\' into '/'; MERGE_SLASHES also makes one slash of several; DECODE_AND_MERGE_SLASHES decodes %2F and %5C before.
 * *out is `in` itself when there is nothing to change.  -EINVAL: no valid path; -ENOMEM: the arena is full.
 */
int wp_path_normalise(struct ap_slice in, enum wp_normalise how, struct ap_arena *arena, struct ap_slice *out);
/* "/a/b?x" into "/a/b" and "x". */
void wp_path_split(struct ap_slice target, struct ap_slice *out_path, struct ap_slice *out_query);
/* Whether a template of {*} (one element) and, last of the two, {**} (any rest) is well formed. */
bool wp_template_is_valid(struct ap_slice t);
bool wp_template_matches(struct ap_slice t, struct ap_slice path);

#endif
