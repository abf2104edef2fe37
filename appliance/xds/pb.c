/*
 * pb.c -- what protobuf-c leaves to its caller.
 *
 * protobuf_c_message_unpack() recurses once per level of nesting, so a few megabytes of nested Struct values from a peer
 * would run the stack out.  The scan here walks the same bytes by the same descriptors first, with a bound, and
 * allocates nothing.  Any thread.
 */
#include "xds/pb.h"

#include <string.h>

#include "base/addr.h"
#include "base/b64.h"
#include "base/check.h"
#include "base/mem.h"

#include "google/struct.pb-c.h"

/* Read a varint at *p; false when it runs out of bytes or has more than ten. */
static bool
read_varint(struct ap_slice *rest, uint64_t *out)
{
	uint64_t v = 0;
	for (unsigned i = 0; i < 10 && i < rest->len; i++) {
		uint8_t b = (uint8_t)rest->ptr[i];
		v |= (uint64_t)(b & 0x7fU) << (7 * i);
		if ((b & 0x80U) == 0) {
			*rest = ap_slice_from(*rest, i + 1);
			*out = v;
			return true;
		}
	}
	return false;
}

/* Take n bytes off the front. */
static bool
take(struct ap_slice *rest, uint64_t n, struct ap_slice *out)
{
	if (n > rest->len)
		return false;
	*out = (struct ap_slice){ .ptr = rest->ptr, .len = (size_t)n };
	*rest = (struct ap_slice){ .ptr = rest->ptr + n, .len = rest->len - (size_t)n };
	return true;
}

static bool
nests_within(const ProtobufCMessageDescriptor *desc, struct ap_slice bytes, unsigned depth)
{
	if (depth == 0)
		return false;
	while (bytes.len > 0) {
		uint64_t tag, n;
		struct ap_slice body;
		if (!read_varint(&bytes, &tag) || tag >> 3 == 0 || tag >> 3 > UINT32_MAX >> 3)
			return false;
		switch (tag & 7U) {
		case 0:
			if (!read_varint(&bytes, &n))
				return false;
			break;
		case 1:
			if (!take(&bytes, 8, &body))
				return false;
			break;
		case 5:
			if (!take(&bytes, 4, &body))
				return false;
			break;
		case 2: {
			if (!read_varint(&bytes, &n) || !take(&bytes, n, &body))
				return false;
			const ProtobufCFieldDescriptor *f =
			    protobuf_c_message_descriptor_get_field(desc, (unsigned)(tag >> 3));
			if (f != NULL && f->type == PROTOBUF_C_TYPE_MESSAGE &&
			    !nests_within(f->descriptor, body, depth - 1))
				return false;
			break;
		}
		default: /* groups: nobody sends them any more */
			return false;
		}
	}
	return true;
}

void *
ap_pb_unpack(const ProtobufCMessageDescriptor *desc, struct ap_slice bytes)
{
	if (!nests_within(desc, bytes, AP_PB_DEPTH))
		return NULL;
	return protobuf_c_message_unpack(desc, NULL, bytes.len, (const uint8_t *)bytes.ptr);
}

void
ap_pb_pack(const void *message, struct ap_buf *out)
{
	size_t size = protobuf_c_message_get_packed_size(message);
	uint8_t *room = ap_buf_reserve(out, size);
	if (room == NULL)
		return;
	ap_buf_commit(out, protobuf_c_message_pack(message, room));
}

/* --- Messages as documents --------------------------------------------------------------------------------------- */

static struct ap_doc *
bytes_to_doc(struct ap_arena *arena, const ProtobufCBinaryData *b)
{
	struct ap_ip ip;
	char text[AP_ADDR_TEXT];
	if (ap_ip_from_bytes(b->data, b->len, &ip) == 0)
		return ap_doc_new_string(arena, ap_slice_of(ap_ip_format(&ip, text, sizeof(text))));
	struct ap_buf buf;
	ap_buf_init(&buf, b->len * 2 + 8);
	ap_b64_encode(ap_slice((const char *)b->data, b->len), &buf);
	struct ap_doc *d = ap_doc_new_string(arena, ap_buf_slice(&buf));
	ap_buf_done(&buf);
	return d;
}

/* One value at `at`, which has the field's type. */
static struct ap_doc *
value_to_doc(struct ap_arena *arena, const ProtobufCFieldDescriptor *f, const void *at)
{
	switch (f->type) {
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
		return ap_doc_new_int(arena, *(const int32_t *)at);
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
		return ap_doc_new_int(arena, *(const uint32_t *)at);
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
		return ap_doc_new_int(arena, *(const int64_t *)at);
	case PROTOBUF_C_TYPE_FLOAT:
		return ap_doc_new_real(arena, (double)*(const float *)at);
	case PROTOBUF_C_TYPE_DOUBLE:
		return ap_doc_new_real(arena, *(const double *)at);
	case PROTOBUF_C_TYPE_BOOL:
		return ap_doc_new_bool(arena, *(const protobuf_c_boolean *)at != 0);
	case PROTOBUF_C_TYPE_ENUM: {
		int v = *(const int *)at;
		const ProtobufCEnumValue *e = protobuf_c_enum_descriptor_get_value(f->descriptor, v);
		return e == NULL ? ap_doc_new_int(arena, v) : ap_doc_new_string(arena, ap_slice_of(e->name));
	}
	case PROTOBUF_C_TYPE_STRING:
		return ap_doc_new_string(arena, ap_slice_of(*(char *const *)at));
	case PROTOBUF_C_TYPE_BYTES:
		return bytes_to_doc(arena, at);
	case PROTOBUF_C_TYPE_MESSAGE:
		return ap_pb_to_doc(arena, *(const ProtobufCMessage *const *)at);
	}
	AP_NEVER();
}

/* Not set, or set to what proto3 does not send. */
static bool
is_default(const ProtobufCFieldDescriptor *f, const void *at)
{
	switch (f->type) {
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
	case PROTOBUF_C_TYPE_FLOAT:
	case PROTOBUF_C_TYPE_ENUM:
		return *(const uint32_t *)at == 0;
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_DOUBLE:
		return *(const uint64_t *)at == 0;
	case PROTOBUF_C_TYPE_BOOL:
		return *(const protobuf_c_boolean *)at == 0;
	case PROTOBUF_C_TYPE_STRING:
		return *(const char *const *)at == NULL || **(const char *const *)at == '\0';
	case PROTOBUF_C_TYPE_BYTES:
		return ((const ProtobufCBinaryData *)at)->len == 0;
	case PROTOBUF_C_TYPE_MESSAGE:
		return *(const void *const *)at == NULL;
	}
	AP_NEVER();
}

static size_t
size_of(const ProtobufCFieldDescriptor *f)
{
	switch (f->type) {
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_DOUBLE:
		return 8;
	case PROTOBUF_C_TYPE_BOOL:
		return sizeof(protobuf_c_boolean);
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_MESSAGE:
		return sizeof(void *);
	case PROTOBUF_C_TYPE_BYTES:
		return sizeof(ProtobufCBinaryData);
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
	case PROTOBUF_C_TYPE_FLOAT:
	case PROTOBUF_C_TYPE_ENUM:
		return 4;
	}
	AP_NEVER();
}

/* protoc makes a message FooEntry {key = 1, value = 2} of a map's entry. */
static bool
is_map_entry(const ProtobufCFieldDescriptor *f)
{
	if (f->type != PROTOBUF_C_TYPE_MESSAGE)
		return false;
	const ProtobufCMessageDescriptor *d = f->descriptor;
	return d->n_fields == 2 && strcmp(d->fields[0].name, "key") == 0 && strcmp(d->fields[1].name, "value") == 0 &&
	       ap_slice_ends(ap_slice_of(d->name), AP_S("Entry"));
}

static struct ap_doc *
repeated_to_doc(struct ap_arena *arena, const ProtobufCFieldDescriptor *f, const char *items, size_t count)
{
	bool is_map = is_map_entry(f);
	struct ap_doc *out = is_map ? ap_doc_new_map(arena) : ap_doc_new_list(arena);
	for (size_t i = 0; i < count; i++) {
		const char *at = items + i * size_of(f);
		if (!is_map) {
			ap_doc_append(out, value_to_doc(arena, f, at));
			continue;
		}
		const ProtobufCMessage *e = *(ProtobufCMessage *const *)(const void *)at;
		const ProtobufCFieldDescriptor *fields = e->descriptor->fields;
		const char *base = (const char *)e;
		const char *key = *(char *const *)(const void *)(base + fields[0].offset);
		const void *value = base + fields[1].offset;
		bool none = fields[1].type == PROTOBUF_C_TYPE_MESSAGE && is_default(&fields[1], value);
		ap_doc_set(arena, out, key == NULL ? "" : key,
		    none ? ap_doc_new_null(arena) : value_to_doc(arena, &fields[1], value));
	}
	return out;
}

struct ap_doc *
ap_pb_to_doc(struct ap_arena *arena, const void *message)
{
	const ProtobufCMessage *m = message;
	const char *base = message;
	struct ap_doc *out = ap_doc_new_map(arena);
	for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
		const void *at = base + f->offset;
		if (f->label == PROTOBUF_C_LABEL_REPEATED) {
			size_t count = *(const size_t *)(const void *)(base + f->quantifier_offset);
			if (count > 0)
				ap_doc_set(arena, out, f->name,
				    repeated_to_doc(arena, f, *(char *const *)at, count));
			continue;
		}
		if ((f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0) {
			if (*(const uint32_t *)(const void *)(base + f->quantifier_offset) != f->id)
				continue;
		} else if (is_default(f, at)) {
			continue;
		}
		ap_doc_set(arena, out, f->name, value_to_doc(arena, f, at));
	}
	return out;
}

/* --- google.protobuf.Struct ------------------------------------------------------------------------------------------- */

static struct ap_doc *
struct_value_to_doc(struct ap_arena *arena, const Google__Protobuf__Value *v)
{
	switch (v->kind_case) {
	case GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE:
		if (v->number_value >= -9e15 && v->number_value <= 9e15 &&
		    (double)(int64_t)v->number_value == v->number_value)
			return ap_doc_new_int(arena, (int64_t)v->number_value);
		return ap_doc_new_real(arena, v->number_value);
	case GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE:
		return ap_doc_new_string(arena, ap_slice_of(v->string_value));
	case GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE:
		return ap_doc_new_bool(arena, v->bool_value != 0);
	case GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE:
		return ap_struct_to_doc(arena, v->struct_value);
	case GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE: {
		struct ap_doc *list = ap_doc_new_list(arena);
		for (size_t i = 0; i < v->list_value->n_values; i++)
			ap_doc_append(list, struct_value_to_doc(arena, v->list_value->values[i]));
		return list;
	}
	case GOOGLE__PROTOBUF__VALUE__KIND_NULL_VALUE:
	case GOOGLE__PROTOBUF__VALUE__KIND__NOT_SET:
	case _GOOGLE__PROTOBUF__VALUE__KIND__CASE_IS_INT_SIZE:
		break;
	}
	return ap_doc_new_null(arena);
}

struct ap_doc *
ap_struct_to_doc(struct ap_arena *arena, const void *message)
{
	const Google__Protobuf__Struct *s = message;
	struct ap_doc *map = ap_doc_new_map(arena);
	for (size_t i = 0; s != NULL && i < s->n_fields; i++) {
		const Google__Protobuf__Struct__FieldsEntry *e = s->fields[i];
		if (e->key != NULL && e->value != NULL)
			ap_doc_set(arena, map, e->key, struct_value_to_doc(arena, e->value));
	}
	return map;
}
