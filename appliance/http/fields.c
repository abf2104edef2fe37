/*
 * fields.c -- the list of fields.
 *
 * A plain array searched from the front: heads have ten to thirty fields, so a scan that compares lengths first beats
 * any index.  Everything lives in the arena; the array doubles in it.
 */
#include "http/fields.h"

#include <string.h>

#include "http/http_priv.h"

#define FIRST_ROOM 16

void
ap_fields_init(struct ap_fields *f, struct ap_arena *arena)
{
	*f = (struct ap_fields){ .arena = arena };
}

static bool
make_room(struct ap_fields *f)
{
	struct ap_field *items;
	uint32_t room;

	if (f->count < f->room)
		return true;
	room = f->room == 0 ? FIRST_ROOM : f->room * 2;
	items = ap_arena_alloc(f->arena, room * sizeof(*items));
	if (items == NULL)
		return false;
	if (f->count > 0)
		memcpy(items, f->items, f->count * sizeof(*items));
	f->items = items;
	f->room = room;
	return true;
}

bool
ap_fields_add_owned(struct ap_fields *f, struct ap_slice name, struct ap_slice value)
{
	if (!make_room(f))
		return false;
	f->items[f->count++] = (struct ap_field){ .name = name, .value = value };
	f->bytes += name.len + value.len + 32;
	return true;
}

/* Name in lower case and value, in one piece of the arena. */
static bool
copy_pair(struct ap_arena *arena, struct ap_slice *name, struct ap_slice *value)
{
	char *p = ap_arena_alloc(arena, name->len + value->len + 2);

	if (p == NULL)
		return false;
	for (size_t i = 0; i < name->len; i++) {
		char c = name->ptr[i];

		p[i] = c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
	}
	p[name->len] = '\0';
	if (value->len > 0)
		memcpy(p + name->len + 1, value->ptr, value->len);
	p[name->len + 1 + value->len] = '\0';
	*value = ap_slice(p + name->len + 1, value->len);
	*name = ap_slice(p, name->len);
	return true;
}

bool
ap_fields_add(struct ap_fields *f, struct ap_slice name, struct ap_slice value)
{
	return copy_pair(f->arena, &name, &value) && ap_fields_add_owned(f, name, value);
}

static bool
is_named(const struct ap_field *f, struct ap_slice name)
{
	return f->name.len == name.len && memcmp(f->name.ptr, name.ptr, name.len) == 0;
}

bool
ap_fields_set(struct ap_fields *f, struct ap_slice name, struct ap_slice value)
{
	uint32_t kept = 0;
	bool found = false;

	if (!copy_pair(f->arena, &name, &value))
		return false;
	for (uint32_t i = 0; i < f->count; i++) {
		if (is_named(&f->items[i], name)) {
			f->bytes -= name.len + f->items[i].value.len + 32;
			if (found)
				continue;
			found = true;
			f->items[i].value = value;
			f->bytes += name.len + value.len + 32;
		}
		f->items[kept++] = f->items[i];
	}
	f->count = kept;
	return found || ap_fields_add_owned(f, name, value);
}

uint32_t
ap_fields_remove(struct ap_fields *f, struct ap_slice name)
{
	uint32_t kept = 0, removed;

	for (uint32_t i = 0; i < f->count; i++) {
		if (is_named(&f->items[i], name))
			f->bytes -= name.len + f->items[i].value.len + 32;
		else
			f->items[kept++] = f->items[i];
	}
	removed = f->count - kept;
	f->count = kept;
	return removed;
}

struct ap_slice
ap_fields_get(const struct ap_fields *f, struct ap_slice name)
{
	for (uint32_t i = 0; i < f->count; i++)
		if (is_named(&f->items[i], name))
			return f->items[i].value;
	return AP_SLICE_NONE;
}

bool
ap_fields_has(const struct ap_fields *f, struct ap_slice name)
{
	for (uint32_t i = 0; i < f->count; i++)
		if (is_named(&f->items[i], name))
			return true;
	return false;
}

struct ap_slice
ap_fields_join(const struct ap_fields *f, struct ap_slice name, struct ap_arena *arena)
{
	const char *between = ap_slice_eq(name, AP_S("cookie")) ? "; " : ", ";
	struct ap_slice only = AP_SLICE_NONE;
	size_t size = 0, at = 0;
	uint32_t count = 0;
	char *p;

	for (uint32_t i = 0; i < f->count; i++) {
		if (!is_named(&f->items[i], name))
			continue;
		only = f->items[i].value;
		size += only.len + 2;
		count++;
	}
	if (count <= 1)
		return only;
	p = ap_arena_alloc(arena, size + 1);
	if (p == NULL)
		return AP_SLICE_NONE;
	for (uint32_t i = 0; i < f->count; i++) {
		if (!is_named(&f->items[i], name))
			continue;
		if (at > 0) {
			memcpy(p + at, between, 2);
			at += 2;
		}
		memcpy(p + at, f->items[i].value.ptr, f->items[i].value.len);
		at += f->items[i].value.len;
	}
	p[at] = '\0';
	return ap_slice(p, at);
}

bool
ap_fields_copy(struct ap_fields *to, const struct ap_fields *from)
{
	for (uint32_t i = 0; i < from->count; i++)
		if (!ap_fields_add(to, from->items[i].name, from->items[i].value))
			return false;
	return true;
}
