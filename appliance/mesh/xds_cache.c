/*
 * xds_cache.c -- the journal of each type: a header, then records of a kind ('+', '-'), two lengths, a name and a body.  A tail that a
 * crash cut off is ignored.  When a journal has grown to several times what it holds it is written anew.  A full disk
 * costs the next start its head start and nothing more.  Main loop.
 */
#include "mesh/xds_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"

AP_LOG_MODULE(xds_cache);

#define HEADER "ambit xds journal 1\n"
#define FILE_MAX ((size_t)1024 * 1024 * 1024)
#define GROWTH ((size_t)4 * 1024 * 1024) /* and four times the size at the last writing */

struct journal {
	struct ap_list link;
	char *path;
	struct ap_xds_subscription to; /* who applies */
	int fd;                        /* -1: cannot be written */
	size_t written, base;
};

struct ap_xds_cache {
	char *folder;
	struct ap_list journals;
};

struct ap_xds_cache *
ap_xds_cache_new(struct ap_slice folder)
{
	struct ap_xds_cache *c = ap_new(struct ap_xds_cache);

	c->folder = ap_strndup(folder.ptr, folder.len);
	ap_list_init(&c->journals);
	return c;
}

void
ap_xds_cache_free(struct ap_xds_cache **c)
{
	struct ap_xds_cache *old = *c;

	*c = NULL;
	if (old == NULL)
		return;
	AP_LIST_FOR_SAFE(link, &old->journals) {
		struct journal *j = AP_LIST_ITEM(link, struct journal, link);

		ap_list_remove(&j->link);
		if (j->fd >= 0)
			close(j->fd);
		ap_free(&j->path);
		ap_free(&j);
	}
	ap_free(&old->folder);
	ap_free(&old);
}

static void
put_record(struct ap_buf *out, char kind, struct ap_slice name, struct ap_slice body)
{
	ap_buf_add_char(out, kind);
	ap_buf_add_u32(out, (uint32_t)name.len);
	ap_buf_add_u32(out, (uint32_t)body.len);
	ap_buf_add_slice(out, name);
	ap_buf_add_slice(out, body);
}

static uint32_t
get_u32(const char *p)
{
	const unsigned char *b = (const unsigned char *)p;

	return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

/* Replay into a map of name to body (slices into text, on the heap). */
static void
replay(struct ap_slice text, struct ap_map *out)
{
	struct ap_slice *old, name, body;
	char kind;

	if (!ap_slice_starts(text, AP_S(HEADER)))
		return;
	text = ap_slice_from(text, sizeof(HEADER) - 1);
	while (text.len >= 9) {
		uint64_t name_len = get_u32(text.ptr + 1), body_len = get_u32(text.ptr + 5);

		if (text.len - 9 < name_len || text.len - 9 - name_len < body_len)
			return;
		kind = text.ptr[0];
		name = ap_slice_sub(text, 9, name_len);
		body = ap_slice_sub(text, 9 + name_len, body_len);
		if (kind == '+') {
			struct ap_slice *value = ap_new(struct ap_slice);

			*value = body;
			old = ap_map_put(out, name, value);
		} else {
			old = ap_map_remove(out, name);
		}
		ap_free(&old);
		text = ap_slice_from(text, 9 + name_len + body_len);
	}
}

/* Begin the file anew with these bytes. */
static void
begin(struct journal *j, struct ap_slice records)
{
	struct ap_buf text;
	struct ap_error err;

	if (j->fd >= 0)
		close(j->fd);
	j->fd = -1;
	ap_buf_init(&text, FILE_MAX);
	ap_buf_add_text(&text, HEADER);
	ap_buf_add_slice(&text, records);
	if (!text.bad && ap_file_write(j->path, ap_buf_slice(&text), 0600, &err) == 0)
		j->fd = open(j->path, O_WRONLY | O_APPEND | O_CLOEXEC);
	if (j->fd < 0)
		LOG_WARN_LIMIT(NULL, 1, "%s: the configuration is not kept: %s", j->path, text.bad ? "too large" : err.text);
	j->written = j->base = text.len;
	ap_buf_done(&text);
}

static void
add_all(const struct ap_map *m, struct ap_buf *out)
{
	struct ap_map_entry *e;
	size_t i = 0;

	while ((e = ap_map_next(m, &i)) != NULL)
		put_record(out, '+', e->key, *(const struct ap_slice *)e->value);
}

static void
compact(struct journal *j)
{
	struct ap_map live = { 0 };
	struct ap_buf text, records;
	struct ap_error err;

	ap_buf_init(&text, FILE_MAX);
	ap_buf_init(&records, FILE_MAX);
	if (ap_file_read(j->path, &text, &err) == 0) {
		replay(ap_buf_slice(&text), &live);
		add_all(&live, &records);
		begin(j, ap_buf_slice(&records));
	}
	ap_map_done(&live, ap_mem_free);
	ap_buf_done(&records);
	ap_buf_done(&text);
}

static void
append(struct journal *j, struct ap_slice records)
{
	if (j->fd < 0 || records.len == 0)
		return;
	if (write(j->fd, records.ptr, records.len) != (ssize_t)records.len) {
		/* Half a record would hide those behind it: the file is of no use until the next first answer. */
		LOG_WARN_LIMIT(NULL, 1, "%s: the configuration is not kept: %s", j->path, strerror(errno));
		close(j->fd);
		j->fd = -1;
		(void)unlink(j->path);
		return;
	}
	j->written += records.len;
	if (j->written > j->base * 4 + GROWTH)
		compact(j);
}

static bool
is_refused(struct ap_slice reject, struct ap_slice name)
{
	struct ap_slice rest = reject, part;

	while (rest.ptr != NULL) {
		part = ap_slice_trim(ap_slice_cut(&rest, ';'));
		if (part.len > name.len && ap_slice_starts(part, name) && part.ptr[name.len] == ':')
			return true;
	}
	return false;
}

static void
apply(void *arg, const struct ap_xds_update *update, struct ap_buf *reject)
{
	struct journal *j = arg;
	size_t before = reject->len, i;
	struct ap_slice refused;
	struct ap_buf records;

	j->to.apply(j->to.arg, update, reject);
	refused = reject->len > before ? ap_slice(reject->ptr + before, reject->len - before) : AP_SLICE_NONE;
	ap_buf_init(&records, FILE_MAX);
	for (i = 0; i < update->count; i++) {
		if (!is_refused(refused, update->resources[i].name))
			put_record(&records, '+', update->resources[i].name, update->resources[i].body);
	}
	for (i = 0; i < update->removed_count; i++)
		put_record(&records, '-', update->removed[i], AP_SLICE_NONE);
	if (update->first)
		begin(j, ap_buf_slice(&records));
	else
		append(j, ap_buf_slice(&records));
	ap_buf_done(&records);
}

/* As a first answer, to who applies; nothing is written. */
static bool
load(struct journal *j)
{
	struct ap_xds_update update = { .type_url = j->to.type_url, .first = true };
	struct ap_map live = { 0 };
	struct ap_xds_resource *list;
	struct ap_map_entry *e;
	struct ap_buf text, reject;
	struct ap_error err;
	bool found = false;
	size_t i = 0;

	ap_buf_init(&text, FILE_MAX);
	if (ap_file_read(j->path, &text, &err) == 0) {
		replay(ap_buf_slice(&text), &live);
		found = ap_slice_starts(ap_buf_slice(&text), AP_S(HEADER));
	} else if (err.code != -ENOENT) {
		LOG_WARN(NULL, "%s", err.text);
	}
	if (found) {
		list = ap_alloc_array(live.count, sizeof(*list));
		while ((e = ap_map_next(&live, &i)) != NULL)
			list[update.count++] =
			    (struct ap_xds_resource){ .name = e->key, .body = *(const struct ap_slice *)e->value };
		update.resources = list;
		ap_buf_init(&reject, 65536);
		j->to.apply(j->to.arg, &update, &reject);
		ap_buf_done(&reject);
		ap_free(&list);
		LOG_INFO(NULL, "%s: %zu resources of an earlier life", j->path, update.count);
	}
	ap_map_done(&live, ap_mem_free);
	ap_buf_done(&text);
	return found;
}

bool
ap_xds_cache_add(struct ap_xds_cache *c, struct ap_xds_subscription *subscription, const char *name)
{
	struct journal *j = ap_new(struct journal);

	j->to = *subscription;
	j->fd = -1;
	j->path = ap_asprintf("%s/%s.xds", c->folder, name);
	ap_list_append(&c->journals, &j->link);
	subscription->apply = apply;
	subscription->arg = j;
	return load(j);
}
