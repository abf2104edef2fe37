/*
 * cp_reported.c -- says on each object which of its fields are kept but not honoured, so that nothing is dropped silently.
 *
 * The rows of a kind know (AP_F_REPORTED); the condition ambit.mesh/Honoured tells.  An object without such fields has no such
 * condition; one that got rid of them has it with True.
 */
#include "control_plane/cp_reported.h"

#include <string.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "model/schema.h"

AP_LOG_MODULE(cp_reported);

#define CONDITION "ambit.mesh/Honoured"
#define SUFFIX ": is kept but not honoured yet"

struct cp_reported {
	struct cp *cp;
	struct cp_subscriber subscriber;
};

static bool
has_condition(const struct ap_resource *r)
{
	AP_DOC_FOR (c, ap_doc_get(r->status, "conditions"))
		if (ap_slice_eq_text(ap_doc_string(c, "type", ""), CONDITION))
			return true;
	return false;
}

/* "spec.a, spec.b[0].c" */
static void
list_fields(const struct ap_errors *errs, struct ap_buf *out)
{
	for (size_t i = 0; i < errs->count; i++) {
		struct ap_slice text = ap_slice_of(errs->items[i].text);

		if (ap_slice_ends(text, AP_S(SUFFIX)))
			text.len -= sizeof(SUFFIX) - 1;
		ap_buf_printf(out, "%s%.*s", i == 0 ? "" : ", ", AP_FMT(text));
	}
	if (errs->total > errs->count)
		ap_buf_printf(out, " and %zu more", errs->total - errs->count);
}

static void
look(struct cp *cp, struct ap_resource *r)
{
	struct ap_errors errs = { 0 };
	struct ap_error err = { 0 };
	struct ap_buf text;
	int rc = 0;

	if (!r->kind->has_status)
		return;
	ap_buf_init(&text, 8192);
	if (ap_schema_reported(r->kind->schema, r->doc, "", &errs) > 0) {
		list_fields(&errs, &text);
		ap_buf_add_text(&text, ": kept, but not honoured yet");
		if (!text.bad)
			rc = cp_set_condition(cp, r->key, CONDITION, false, "FieldsNotHonoured", text.ptr, &err);
	} else if (has_condition(r)) {
		rc = cp_set_condition(cp, r->key, CONDITION, true, "AllFieldsHonoured", "", &err);
	}
	if (rc != 0)
		LOG_WARN_LIMIT(NULL, 1, "the status of %.*s is not written: %s", AP_FMT(r->key), err.text);
	ap_buf_done(&text);
	ap_errors_done(&errs);
}

static void
end_batch(struct cp *cp)
{
	struct ap_error err = { 0 };

	if (cp_batch_end(cp, &err) != 0)
		LOG_WARN_LIMIT(NULL, 1, "statuses are not written: %s", err.text);
}

static void
on_change(struct cp *cp, const struct cp_change *changes, size_t count, void *arg)
{
	(void)arg;
	cp_batch_begin(cp);
	for (size_t i = 0; i < count; i++) {
		/* It may have gone in the meantime. */
		struct ap_resource *now = changes[i].status_only ? NULL : ap_resources_find(cp_resources(cp), changes[i].key);

		if (now != NULL)
			look(cp, now);
	}
	end_batch(cp);
}

struct cp_reported *
cp_reported_start(struct cp *cp)
{
	struct cp_reported *p = ap_new(struct cp_reported);
	const struct ap_map *all = &cp_resources(cp)->by_key;
	struct ap_map_entry *e;

	p->cp = cp;
	cp_batch_begin(cp);
	for (size_t i = 0; (e = ap_map_next(all, &i)) != NULL;)
		look(cp, e->value);
	end_batch(cp);
	cp_subscribe(cp, &p->subscriber, on_change, p);
	return p;
}

void
cp_reported_stop(struct cp_reported **reported)
{
	struct cp_reported *p = *reported;

	*reported = NULL;
	if (p == NULL)
		return;
	cp_unsubscribe(p->cp, &p->subscriber);
	ap_free(&p);
}
