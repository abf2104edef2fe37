/* wp_pack.h -- protobuf messages into an arena, freed with it. */
#ifndef WAYPOINT_WP_PACK_H
#define WAYPOINT_WP_PACK_H
#include <protobuf-c/protobuf-c.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/error.h"
#include "base/slice.h"

/* NULL with err when the bytes are no such message or the arena is too small. Never free it. */
void *wp_unpack(
    struct ap_arena *arena, const ProtobufCMessageDescriptor *type, struct ap_slice body, struct ap_error *err);

#endif
