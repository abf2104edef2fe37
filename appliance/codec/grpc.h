/* grpc.h -- gRPC over HTTP/2: length-prefixed messages with a ceiling, status codes and their text. */
#ifndef CODEC_GRPC_H
#define CODEC_GRPC_H
#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "base/slice.h"

enum ap_grpc_status {
	AP_GRPC_OK,
	AP_GRPC_CANCELLED,
	AP_GRPC_UNKNOWN,
	AP_GRPC_INVALID_ARGUMENT,
	AP_GRPC_DEADLINE_EXCEEDED,
	AP_GRPC_NOT_FOUND,
	AP_GRPC_ALREADY_EXISTS,
	AP_GRPC_PERMISSION_DENIED,
	AP_GRPC_RESOURCE_EXHAUSTED,
	AP_GRPC_FAILED_PRECONDITION,
	AP_GRPC_ABORTED,
	AP_GRPC_OUT_OF_RANGE,
	AP_GRPC_UNIMPLEMENTED,
	AP_GRPC_INTERNAL,
	AP_GRPC_UNAVAILABLE,
	AP_GRPC_DATA_LOSS,
	AP_GRPC_UNAUTHENTICATED,
};

/* Bytes in, messages out. One thread at a time. */
struct ap_grpc_reader {
	struct ap_buf in;
	size_t used;    /* of `in`: messages given out before */
	size_t ceiling; /* most bytes of one message */
};

AP_PUBLIC_BEGIN
/* Append one frame: flag 0, length, message. */
void ap_grpc_frame(struct ap_slice message, struct ap_buf *out);

void ap_grpc_reader_init(struct ap_grpc_reader *r, size_t ceiling);
void ap_grpc_reader_done(struct ap_grpc_reader *r);
/* Take more bytes of the body. 0, or -EMSGSIZE: more than a message's ceiling is waiting unread. */
int ap_grpc_reader_feed(struct ap_grpc_reader *r, struct ap_slice bytes);
/* 1: *message is the next one, good until the next feed. 0: more bytes are needed. -EPROTO (compressed, reserved
 * flags) or -EMSGSIZE: give the call up. */
int ap_grpc_reader_next(struct ap_grpc_reader *r, struct ap_slice *message);
/* No partial message is waiting: the body may end here. */
bool ap_grpc_reader_is_at_edge(const struct ap_grpc_reader *r);

const char *ap_grpc_status_name(unsigned status); /* "UNAVAILABLE"; "UNKNOWN" for what has no name */
/* The grpc-status trailer; AP_GRPC_UNKNOWN when it is absent or no number. */
enum ap_grpc_status ap_grpc_status_parse(struct ap_slice text);
/* What a response without grpc-status means, by its HTTP status. */
enum ap_grpc_status ap_grpc_status_from_http(unsigned http_status);
/* grpc-message is percent-encoded UTF-8. */
void ap_grpc_message_encode(struct ap_slice text, struct ap_buf *out);
void ap_grpc_message_decode(struct ap_slice text, struct ap_buf *out); /* broken escapes stay as they are */
AP_PUBLIC_END

#endif
