/* pb.h -- protobuf-c with a bound on nesting, packing into our buffers, and messages as documents for dumps and golden tests. */
#ifndef XDS_PB_H
#define XDS_PB_H
#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/compiler.h"
#include "base/slice.h"
#include "codec/doc.h"

#define AP_PB_DEPTH 32 /* levels of messages in messages; protobuf-c itself recurses as deep as the bytes say */

AP_PUBLIC_BEGIN
/* NULL when the bytes are no message of this kind, or nest deeper than AP_PB_DEPTH. Free with protobuf_c_message_free_unpacked. */
void *ap_pb_unpack(const ProtobufCMessageDescriptor *desc, struct ap_slice bytes);
/* Append the packed message. */
void ap_pb_pack(const void *message, struct ap_buf *out);
/* Protobuf's JSON names and enum words; bytes as IP address text when they are 4 or 16 long, else base64; unset is left out; map
 * entries become maps. For people and tests, in the arena. */
struct ap_doc *ap_pb_to_doc(struct ap_arena *arena, const void *message);
/* google.protobuf.Struct as a document, which takes more room than the message. NULL gives an empty map. */
struct ap_doc *ap_struct_to_doc(struct ap_arena *arena, const void *message);
AP_PUBLIC_END

#endif
