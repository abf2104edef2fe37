/*
 * http1.h -- HTTP/1 heads and chunks, strictly (RFC 9110, 9112): what two parsers might read differently is an error.
 *
 * A parsed head is slices into the caller's bytes.  Everything that decides where a message ends is derived here, once:
 * who reads the head has nothing to guess.
 */
#ifndef CODEC_HTTP1_H
#define CODEC_HTTP1_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "base/slice.h"

struct ap_h1_field {
	struct ap_slice name, value; /* as they stand; value without blanks around it */
};

enum ap_h1_body {
	AP_H1_NO_BODY,
	AP_H1_LENGTH,  /* `length` bytes */
	AP_H1_CHUNKED,
	AP_H1_TO_CLOSE, /* response: until the connection ends */
	AP_H1_TUNNEL,   /* response to CONNECT with 2xx, or 101 */
};

struct ap_h1_head {
	/* request */
	struct ap_slice method;
	struct ap_slice target;    /* as it stands */
	struct ap_slice path;      /* origin form, or "*"; empty with CONNECT */
	struct ap_slice authority; /* of the absolute or authority form, else of Host */
	struct ap_slice scheme;    /* of the absolute form; else empty */
	/* response */
	int status;
	struct ap_slice reason;
	/* both */
	uint8_t minor; /* HTTP/1.minor: 0 or 1 */
	enum ap_h1_body body;
	uint64_t length;
	bool has_length;   /* Content-Length was given (it may be, without a body: HEAD, 304) */
	bool keep_alive;   /* the connection outlives this message as far as the sender is concerned */
	bool upgrade;      /* Connection: upgrade, and `protocol` is the Upgrade field */
	bool expect_continue, bad_expect;
	struct ap_slice protocol;
	struct ap_slice connection; /* the last Connection field; see ap_h1_is_listed */
	bool many_connections;      /* there is more than one Connection field */
	struct ap_h1_field *fields; /* the caller's, `room` of them */
	uint32_t count, room;
};

struct ap_h1_limits {
	size_t head;   /* bytes of start line and fields */
	size_t target; /* bytes */
};

/* How reading went: 0, or one of these, all negative. */
enum ap_h1_error {
	AP_H1_MORE = -1,     /* incomplete */
	AP_H1_BAD = -2,      /* 400 */
	AP_H1_LARGE = -3,    /* 431: head or number of fields */
	AP_H1_LONG = -4,     /* 414: target */
	AP_H1_VERSION = -5,  /* 505 */
	AP_H1_CODING = -6,   /* 501: a transfer coding other than chunked */
};

/* Where the chunked coding stands. Zeroed is the beginning. */
struct ap_h1_chunks {
	uint8_t state;
	uint16_t line; /* bytes of the present size line */
	uint64_t left; /* of the present chunk */
};

AP_PUBLIC_BEGIN
/*
 * Bytes of the head that begins at the front of `in`, its empty line included, or AP_H1_MORE, or AP_H1_BAD (a bare CR or LF or a
 * NUL), or AP_H1_LARGE. *scanned: 0 at first; how far it was looked through, so that slow senders do not cost quadratic time.
 */
int64_t ap_h1_find_head(struct ap_slice in, size_t max, size_t *scanned);
/* `head`: a whole one, as ap_h1_find_head found it. 0 or enum ap_h1_error. */
int ap_h1_parse_request(struct ap_slice head, const struct ap_h1_limits *limits, struct ap_h1_head *out);
/* method: of the request that it answers. */
int ap_h1_parse_response(
    struct ap_slice head, const struct ap_h1_limits *limits, struct ap_slice method, struct ap_h1_head *out);
/* Fields alone, up to an empty line: trailers. out->fields and ->room are set by the caller. */
int ap_h1_parse_trailers(struct ap_slice fields, struct ap_h1_head *out);
/* The field is named in Connection, so it ends here. */
bool ap_h1_is_listed(const struct ap_h1_head *head, struct ap_slice name);
int ap_h1_status_of(int error); /* the status that refuses it */

/*
 * Look at the bytes at the front: *used of them are framing or data done with. Returns 1 with *data (part of `in`; the
 * data itself is not in *used: take it off with ap_h1_chunks_took); 0 when the last chunk was seen and trailers follow; or
 * AP_H1_MORE; or AP_H1_BAD.
 */
int ap_h1_chunks_next(struct ap_h1_chunks *c, struct ap_slice in, size_t *used, struct ap_slice *data);
void ap_h1_chunks_took(struct ap_h1_chunks *c, size_t n);
/* "1f4\r\n" into out (room for 18); returns its length. */
size_t ap_h1_chunk_head(size_t size, char *out);
AP_PUBLIC_END

#endif
