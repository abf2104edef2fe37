/* wp_pack.c -- protobuf-c with an arena as its allocator. */
#include "waypoint/wp_pack.h"

#include <errno.h>
#include <stdint.h>

static void *
pack_alloc(void *arena, size_t size)
{
	return ap_arena_alloc(arena, size);
}

static void
pack_free(void *arena, void *ptr)
{
	(void)arena;
	(void)ptr; /* with the arena */
}

void *
wp_unpack(struct ap_arena *arena, const ProtobufCMessageDescriptor *type, struct ap_slice body, struct ap_error *err)
{
	ProtobufCAllocator a = { .alloc = pack_alloc, .free = pack_free, .allocator_data = arena };
	void *m = protobuf_c_message_unpack(type, &a, body.len, (const uint8_t *)body.ptr);

	if (m == NULL)
		ap_error_set(err, -EINVAL, "not a %s, or too large", type->name);
	return m;
}
