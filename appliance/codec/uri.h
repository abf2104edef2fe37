/* uri.h -- the parts of request targets and URIs, percent coding, and Istio's path normalisation. */
#ifndef CODEC_URI_H
#define CODEC_URI_H
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "base/slice.h"

struct ap_uri {
	struct ap_slice scheme;    /* as written */
	struct ap_slice host;      /* without brackets */
	uint16_t port;             /* 0: not given */
	struct ap_slice authority; /* host[:port] as written, without user information */
	struct ap_slice path;      /* from '/'; may be empty */
	struct ap_slice query;     /* without '?'; NULL pointer: none */
};

/* Istio's MeshConfig.pathNormalization. */
enum ap_uri_normal {
	AP_URI_NONE,
	AP_URI_BASE,                     /* RFC 3986 dot segments; unreserved escapes decoded; '\' is '/' */
	AP_URI_MERGE_SLASHES,            /* and "//" is "/" */
	AP_URI_DECODE_AND_MERGE_SLASHES, /* and %2F and %5C are slashes */
};

AP_PUBLIC_BEGIN
/* "scheme://host[:port]/path?query"; 0 or -EINVAL. Fragments are cut off. */
int ap_uri_parse(struct ap_slice text, struct ap_uri *out);
/* ":path" or an origin-form target at its first '?'; *query has a NULL pointer when there is none. */
void ap_uri_split_target(struct ap_slice target, struct ap_slice *path, struct ap_slice *query);
/* "host", "host:80", "1.2.3.4:80", "[::1]:80", "[::1]"; *port is 0 when absent. 0 or -EINVAL. */
int ap_uri_split_host(struct ap_slice authority, struct ap_slice *host, uint16_t *port);
/* Append the decoded bytes; -EINVAL for a broken escape. form: '+' is a blank. */
int ap_uri_decode(struct ap_slice in, bool form, struct ap_buf *out);
/* Append with everything but unreserved characters (and those of `keep`, may be NULL) escaped. */
void ap_uri_encode(struct ap_slice in, const char *keep, struct ap_buf *out);
/* Append the normal form of a path (no query in it). -EINVAL: does not start with '/', holds a NUL, also as %00, or
 * (but for AP_URI_NONE, which looks into no escape) a broken escape. */
int ap_uri_normalise(struct ap_slice path, enum ap_uri_normal how, struct ap_buf *out);
/* One "name=value" off the front of a query, undecoded; false at its end. */
bool ap_uri_next_param(struct ap_slice *query, struct ap_slice *name, struct ap_slice *value);
/* The first parameter whose undecoded name is `name`; a NULL pointer when there is none. */
struct ap_slice ap_uri_param(struct ap_slice query, const char *name);
AP_PUBLIC_END

#endif
