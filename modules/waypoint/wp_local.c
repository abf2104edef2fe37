/* wp_local.c -- plays a control plane's first answers from a file.  Main thread. */
#include "waypoint/wp_local.h"

#include <errno.h>

#include "base/b64.h"
#include "base/file.h"
#include "base/vec.h"
#include "codec/json.h"

#define FILE_MAX ((size_t)256 << 20)

static int
type_load(const struct ap_doc *list, const struct ap_xds_subscription *s, struct ap_arena *arena, struct ap_error *err)
{
	AP_VEC(struct ap_xds_resource) v = { 0 };
	struct ap_xds_update u = { .type_url = s->type_url, .first = true };
	struct ap_buf bytes, reject;
	int rc = 0;

	ap_buf_init(&bytes, FILE_MAX);
	ap_buf_init(&reject, 4096);
	AP_DOC_FOR(item, list)
	{
		struct ap_xds_resource r = { .name = ap_doc_string(item, "name", ""), .version = AP_S("1") };

		if (!ap_slice_eq_text(ap_doc_string(item, "type", ""), s->type_url))
			continue;
		ap_buf_clear(&bytes);
		if (ap_b64_decode(ap_doc_string(item, "body", ""), &bytes) != 0)
			rc = ap_error_set(err, -EINVAL, "%.*s: its body is not base64", AP_FMT(r.name));
		r.body = ap_arena_copy(arena, ap_buf_slice(&bytes));
		ap_vec_push(&v, r);
	}
	u.resources = v.items;
	u.count = v.count;
	if (rc == 0)
		s->apply(s->arg, &u, &reject);
	if (rc == 0 && reject.len > 0)
		rc = ap_error_set(err, -EINVAL, "%.*s", AP_FMT(ap_buf_slice(&reject)));
	ap_vec_done(&v);
	ap_buf_done(&bytes);
	ap_buf_done(&reject);
	return rc;
}

int
wp_local_load(const char *path, const struct ap_xds_subscription *subscriptions, size_t count, struct ap_error *err)
{
	struct ap_arena *arena = ap_arena_new(FILE_MAX * 2);
	struct ap_doc *doc = NULL;
	struct ap_buf text;
	int rc;

	ap_buf_init(&text, FILE_MAX);
	rc = ap_file_read(path, &text, err);
	if (rc == 0)
		rc = ap_json_parse(arena, path, ap_buf_slice(&text), &doc, err);
	for (size_t i = 0; rc == 0 && i < count; i++)
		rc = type_load(ap_doc_get(doc, "resources"), &subscriptions[i], arena, err);
	if (rc != 0)
		ap_error_wrap(err, "local configuration %s", path);
	ap_buf_done(&text);
	ap_arena_free(&arena);
	return rc;
}
