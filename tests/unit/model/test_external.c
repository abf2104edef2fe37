/*
 * test_external.c -- others' files as users write them: what Istio and the Gateway API accept is accepted, what they refuse is
 * refused, and no field of their CRDs is unknown to our rows.
 *
 * The files are not part of the tree: $AMBIT_EXTERNAL names their folder, else ../shared/external beside the checkout is
 * looked at; without either the test is skipped.
 */
#include "../test.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "codec/yaml.h"
#include "model/kind.h"
#include "model/resource.h"

static char root[1024];

static bool
find_root(void)
{
	const char *env = getenv("AMBIT_EXTERNAL"), *src = getenv("srcdir");
	struct stat st;

	snprintf(root, sizeof(root), "%s", env != NULL ? env : "");
	if (env == NULL)
		snprintf(root, sizeof(root), "%s/../shared/external", src == NULL ? "." : src);
	return stat(root, &st) == 0 && S_ISDIR(st.st_mode);
}

struct parsed {
	struct ap_arena *arena;
	struct ap_yaml_docs docs;
	char path[1600];
};

static bool
parse(const char *path, struct parsed *out)
{
	struct ap_buf text;
	struct ap_error err = { 0 };
	int rc;

	snprintf(out->path, sizeof(out->path), "%s", path);
	out->arena = ap_arena_new((size_t)256 * 1024 * 1024);
	ap_buf_init(&text, (size_t)16 * 1024 * 1024);
	rc = ap_file_read(path, &text, &err);
	if (rc == 0)
		rc = ap_yaml_parse(out->arena, out->path, ap_buf_slice(&text), &out->docs, &err);
	ap_buf_done(&text);
	if (rc == 0)
		return true;
	print_message("%s: %s\n", path, err.text);
	ap_arena_free(&out->arena);
	return false;
}

/* Call fn for every YAML file below. */
static void
walk(const char *dir, void (*fn)(const char *path, void *arg), void *arg)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	char path[1500];
	struct stat st;
	size_t len;

	if (d == NULL)
		return;
	while ((e = readdir(d)) != NULL) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		len = strlen(path);
		if (stat(path, &st) != 0)
			continue;
		if (S_ISDIR(st.st_mode))
			walk(path, fn, arg);
		else if (len > 5 && strcmp(path + len - 5, ".yaml") == 0)
			fn(path, arg);
	}
	closedir(d);
}

struct counts {
	unsigned files, accepted, refused, not_read, wrong;
};

static bool
is_read(const struct ap_doc *doc)
{
	return ap_kind_of(ap_doc_string(doc, "apiVersion", ""), ap_doc_string(doc, "kind", "")) != NULL;
}

static void
check_one(struct ap_doc *doc, bool want, const char *path, struct counts *c)
{
	struct ap_errors errs = { 0 };
	struct ap_slice why = ap_doc_string(doc, "_err", "");
	char text[600];

	ap_doc_remove(doc, "_err");
	if (!is_read(doc)) {
		c->not_read++;
		return;
	}
	ap_resource_check(doc, &errs, NULL);
	if ((errs.total == 0) != want) {
		c->wrong++;
		print_message("%s: %.*s %.*s should be %s (%.*s)\n", path, AP_FMT(ap_doc_string(doc, "kind", "")),
		    AP_FMT(ap_doc_string(ap_doc_get(doc, "metadata"), "name", "")), want ? "accepted" : "refused", AP_FMT(why));
		for (size_t i = 0; i < errs.count; i++)
			print_message("    %s\n", ap_error_format(&errs.items[i], text, sizeof(text)));
	}
	if (errs.total == 0)
		c->accepted++;
	else
		c->refused++;
	ap_errors_done(&errs);
}

static void
check_file(const char *path, void *arg)
{
	struct counts *c = arg;
	struct parsed p;
	bool invalid = strstr(path, "-invalid.yaml") != NULL;

	/* Helm charts and values are no resources. */
	if (strstr(path, "/helm/") != NULL || strstr(path, "values") != NULL || !parse(path, &p))
		return;
	c->files++;
	for (uint32_t i = 0; i < p.docs.count; i++) {
		struct ap_doc *doc = p.docs.items[i];

		if (!ap_doc_is(doc, AP_DOC_MAP) || ap_doc_string(doc, "kind", "").len == 0)
			continue;
		if (ap_slice_eq_text(ap_doc_string(doc, "kind", ""), "List")) {
			AP_DOC_FOR (item, ap_doc_get(doc, "items"))
				check_one(item, !invalid, path, c);
			continue;
		}
		check_one(doc, !invalid, path, c);
	}
	ap_arena_free(&p.arena);
}

static void
check_tree(const char *below)
{
	struct counts c = { 0 };
	char dir[1200];

	snprintf(dir, sizeof(dir), "%s/%s", root, below);
	walk(dir, check_file, &c);
	print_message("%s: %u files; objects: %u accepted, %u refused, %u of kinds that are not read, %u wrong\n", below, c.files,
	    c.accepted, c.refused, c.not_read, c.wrong);
	assert_int_equal(c.wrong, 0);
}

static void
istio_samples_are_accepted(void **state)
{
	(void)state;
	if (!find_root())
		skip();
	check_tree("istio-samples");
}

static void
istio_api_testdata_is_accepted_or_refused_as_it_says(void **state)
{
	(void)state;
	if (!find_root())
		skip();
	check_tree("istio-api/tests/testdata");
}

static void
gateway_api_examples_are_accepted(void **state)
{
	(void)state;
	if (!find_root())
		skip();
	check_tree("gateway-api/examples/standard");
}

/* -- the CRDs as an oracle of completeness -- */

static unsigned missing, compared;

static bool
type_agrees(const struct ap_doc *crd, enum ap_type type)
{
	struct ap_slice t = ap_doc_string(crd, "type", "");

	if (type == AP_T_ANY)
		return true;
	if (ap_slice_eq(t, AP_S("string")))
		return type == AP_T_STRING || type == AP_T_DURATION;
	if (ap_slice_eq(t, AP_S("integer")))
		return type == AP_T_INT;
	if (ap_slice_eq(t, AP_S("number")))
		return type == AP_T_REAL;
	if (ap_slice_eq(t, AP_S("boolean")))
		return type == AP_T_BOOL;
	if (ap_slice_eq(t, AP_S("array")))
		return type == AP_T_LIST;
	if (ap_slice_eq(t, AP_S("object")))
		return type == AP_T_OBJECT || type == AP_T_MAP;
	return type == AP_T_INT_OR_STRING;
}

static void
lack(const char *path, const char *what)
{
	missing++;
	print_message("%s: %s\n", path, what);
}

static bool
enum_agrees(const struct ap_doc *crd, const struct ap_field_row *row)
{
	AP_DOC_FOR (value, ap_doc_get(crd, "enum")) {
		bool found = false;

		if (value->type != AP_DOC_STRING)
			continue;
		for (const char *const *v = row->values; v != NULL && *v != NULL; v++)
			found = found || ap_slice_eq_text(value->string, *v);
		if (!found)
			return false;
	}
	return true;
}

static void
compare(const struct ap_doc *crd, const struct ap_schema *schema, const char *path)
{
	AP_DOC_FOR (property, ap_doc_get(crd, "properties")) {
		const struct ap_field_row *row = ap_schema_row(schema, property->key);
		const struct ap_doc *inner = property, *bound;
		char text[700];

		snprintf(text, sizeof(text), "%s.%.*s", path, AP_FMT(property->key));
		compared++;
		if (row == NULL) {
			lack(text, "no row");
			continue;
		}
		if (!type_agrees(property, row->type))
			lack(text, "of another type");
		if (!enum_agrees(property, row))
			lack(text, "other values");
		bound = ap_doc_get(property, "maxItems");
		if (bound == NULL)
			bound = ap_doc_get(property, "maxProperties");
		if (bound == NULL)
			bound = ap_doc_get(property, "maxLength");
		if (bound != NULL && row->max != bound->integer)
			lack(text, "another bound");
		if (row->type == AP_T_ANY || row->of == NULL)
			continue;
		if (row->type == AP_T_LIST)
			inner = ap_doc_get(property, "items");
		else if (row->type == AP_T_MAP)
			inner = ap_doc_get(property, "additionalProperties");
		compare(inner, row->of, text);
	}
	AP_DOC_FOR (name, ap_doc_get(crd, "required")) {
		const struct ap_field_row *row = ap_schema_row(schema, name->string);

		if (row != NULL && (row->flags & AP_F_REQUIRED) == 0)
			lack(path, "a field is required there and not here");
	}
}

static void
check_crd(const char *path, void *arg)
{
	struct parsed p;

	(void)arg;
	if (!parse(path, &p))
		return;
	for (uint32_t i = 0; i < p.docs.count; i++) {
		const struct ap_doc *spec = ap_doc_get(p.docs.items[i], "spec");
		const struct ap_kind *k;
		char group[200], kind[100];

		snprintf(group, sizeof(group), "%.*s", AP_FMT(ap_doc_string(spec, "group", "")));
		snprintf(kind, sizeof(kind), "%.*s", AP_FMT(ap_doc_string(ap_doc_get(spec, "names"), "kind", "")));
		k = ap_kind_find(group, kind);
		if (k == NULL)
			continue;
		AP_DOC_FOR (version, ap_doc_get(spec, "versions")) {
			const struct ap_doc *crd = ap_doc_path(version, "schema.openAPIV3Schema.properties.spec");

			if (!ap_kind_serves(k, ap_doc_string(version, "name", "")))
				lack(kind, "a version is not served");
			compare(crd, ap_schema_row(k->schema, AP_S("spec"))->of, kind);
		}
	}
	ap_arena_free(&p.arena);
}

static void
no_field_of_the_crds_lacks_a_row(void **state)
{
	char dir[1200];

	(void)state;
	if (!find_root())
		skip();
	snprintf(dir, sizeof(dir), "%s/istio-api/kubernetes", root);
	walk(dir, check_crd, NULL);
	snprintf(dir, sizeof(dir), "%s/gateway-api/config/crd/standard", root);
	walk(dir, check_crd, NULL);
	print_message("%u fields compared\n", compared);
	assert_true(compared > 1000);
	assert_int_equal(missing, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(istio_samples_are_accepted),
		cmocka_unit_test(istio_api_testdata_is_accepted_or_refused_as_it_says),
		cmocka_unit_test(gateway_api_examples_are_accepted),
		cmocka_unit_test(no_field_of_the_crds_lacks_a_row),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
