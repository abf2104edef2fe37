/* rpc.h -- gRPC calls on exchanges: heads, frames out with back-pressure, status in trailers; used by the discovery server and client. */
#ifndef XDS_RPC_H
#define XDS_RPC_H
#include <stdbool.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "codec/grpc.h"
#include "http/exchange.h"

#define AP_RPC_MESSAGE_MAX ((size_t)200 * 1024 * 1024) /* as ztunnel takes it */

/* Frames on their way out: what the stream did not take yet. Zeroed is not enough: ap_rpc_out_init. */
struct ap_rpc_out {
	struct ap_buf buf;
	size_t at;
};

AP_PUBLIC_BEGIN
void ap_rpc_out_init(struct ap_rpc_out *o, size_t ceiling);
void ap_rpc_out_done(struct ap_rpc_out *o);
/* Bytes that wait. */
size_t ap_rpc_out_left(const struct ap_rpc_out *o);
/* Append one message as a frame. False: it would pass the ceiling. */
bool ap_rpc_out_add(struct ap_rpc_out *o, struct ap_slice message);
/* Write what the stream takes. 1: all is written; 0: WRITABLE must be waited for; -1: the stream is broken. */
int ap_rpc_out_flush(struct ap_rpc_out *o, struct ap_stream *s);

/* Server: POST with content-type application/grpc. */
bool ap_rpc_is_call(const struct ap_exchange *x);
/* Server: the head of a response that messages follow. */
void ap_rpc_begin(struct ap_exchange *x);
/* Server: end after ap_rpc_begin, with status and message in trailers, and close. */
void ap_rpc_end(struct ap_exchange **x, enum ap_grpc_status status, const char *message);
/* Server: refuse without a message (trailers only), and close. */
void ap_rpc_refuse(struct ap_exchange **x, enum ap_grpc_status status, const char *message);
/* Client: how a call ended, from its head and trailers; message (may be NULL) is appended. */
enum ap_grpc_status ap_rpc_result(const struct ap_exchange *x, struct ap_buf *message);
AP_PUBLIC_END

#endif
