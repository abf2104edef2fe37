/*
 * test_refused.c -- golden: tests/golden/refused/<case>.yaml gives <case>.txt, every problem in its words and place, byte for
 * byte. After a wanted change: AMBIT_GOLDEN_WRITE=1 tests/unit/model/test_refused writes the files anew; read the difference.
 */
#include "../test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/file.h"
#include "codec/yaml.h"
#include "model/resource.h"

static void
run_case(const char *name)
{
	struct ap_arena *arena = ap_arena_new((size_t)64 * 1024 * 1024);
	const char *src = getenv("srcdir");
	struct ap_yaml_docs docs = { 0 };
	struct ap_error err = { 0 };
	struct ap_buf text, got, want;
	char path[1024], file[100];

	ap_buf_init(&text, 1 << 20);
	ap_buf_init(&got, 1 << 20);
	ap_buf_init(&want, 1 << 20);
	snprintf(file, sizeof(file), "%s.yaml", name);
	snprintf(path, sizeof(path), "%s/tests/golden/refused/%s", src == NULL ? "." : src, file);
	if (ap_file_read(path, &text, &err) != 0 ||
	    ap_yaml_parse(arena, file, ap_buf_slice(&text), &docs, &err) != 0)
		fail_msg("%s", err.text);
	for (uint32_t i = 0; i < docs.count; i++) {
		struct ap_errors errs = { 0 };
		char line[700];

		ap_resource_check(docs.items[i], &errs, NULL);
		for (size_t k = 0; k < errs.count; k++)
			ap_buf_printf(&got, "%s\n", ap_error_format(&errs.items[k], line, sizeof(line)));
		ap_errors_done(&errs);
	}
	snprintf(path, sizeof(path), "%s/tests/golden/refused/%s.txt", src == NULL ? "." : src, name);
	if (getenv("AMBIT_GOLDEN_WRITE") != NULL)
		assert_int_equal(ap_file_write(path, ap_buf_slice(&got), 0644, NULL), 0);
	if (ap_file_read(path, &want, &err) != 0)
		fail_msg("%s", err.text);
	if (!ap_slice_eq(ap_buf_slice(&want), ap_buf_slice(&got)))
		fail_msg("%s: what is told now differs from the golden file:\n%s", name, got.ptr);
	ap_buf_done(&text);
	ap_buf_done(&got);
	ap_buf_done(&want);
	ap_arena_free(&arena);
}

static void
routes(void **state)
{
	(void)state;
	run_case("routes");
}

static void
policies(void **state)
{
	(void)state;
	run_case("policies");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(routes),
		cmocka_unit_test(policies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
