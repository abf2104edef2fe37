/*
 * cli_apply.c -- "ambit apply": objects from files into the mesh.  Each object is checked here first, because only here its file, line
 * and column are known; what is not read or not right is told and left out, and the rest is applied.
 */
#include <stdio.h>
#include <string.h>

#include "cli/client.h"
#include "cli/commands.h"
#include "cli/objects.h"
#include "codec/json.h"
#include "model/resource.h"

#define FILES_MAX 64
#define BODY_CEILING ((size_t)64 * 1024 * 1024)

struct apply {
	struct ap_cli_target target;
	const char *files[FILES_MAX];
	unsigned file_count;
	const char *namespace_;
	bool dry_run;
	struct ap_arena *arena;
	unsigned bad, done;
	bool unreachable;
};

static void
tell(struct apply *a, struct ap_place at, const char *text)
{
	struct ap_error err = { .at = at };
	char line[1200];

	snprintf(err.text, sizeof(err.text), "%s", text);
	fprintf(stderr, "%s\n", ap_error_format(&err, line, sizeof(line)));
	a->bad++;
}

/* Does this object stand as its kind wants it? Every problem is told. */
static bool
check(struct apply *a, const struct ap_doc *doc)
{
	struct ap_slice version = ap_doc_string(doc, "apiVersion", ""), kind = ap_doc_string(doc, "kind", "");
	struct ap_errors errs = { 0 };
	char text[400];
	bool fine;

	if (ap_kind_of(version, kind) == NULL) {
		snprintf(text, sizeof(text), "kind %.*s of %.*s is not read; it was left out.", AP_FMT(kind), AP_FMT(version));
		tell(a, doc->at, kind.len == 0 ? "this document names no kind; it was left out." : text);
		return false;
	}
	ap_resource_check(doc, &errs, NULL);
	for (size_t i = 0; i < errs.count; i++)
		tell(a, errs.items[i].at, errs.items[i].text);
	fine = errs.total == 0;
	ap_errors_done(&errs);
	return fine;
}

/* resourceVersion of the object in the answer, or empty. */
static struct ap_slice
version_of(struct apply *a, struct ap_slice body)
{
	struct ap_error err = { 0 };
	struct ap_doc *doc = NULL;

	if (ap_json_parse(a->arena, "answer", ap_arena_copy(a->arena, body), &doc, &err) != 0)
		return AP_SLICE_NONE;
	return ap_doc_string(ap_doc_get(doc, "metadata"), "resourceVersion", "");
}

static const char *
name_namespace(struct apply *a, const struct ap_kind *k, struct ap_doc *doc)
{
	struct ap_doc *metadata = ap_doc_make_path(a->arena, doc, "metadata");
	struct ap_slice own = ap_doc_string(metadata, "namespace", "");

	if (!k->namespaced)
		return NULL;
	if (own.len == 0) {
		const char *by_default = a->namespace_ == NULL ? "default" : a->namespace_;

		ap_doc_set_string(a->arena, metadata, "namespace", ap_slice_of(by_default));
		return by_default;
	}
	return own.ptr;
}

static int
send(struct apply *a, const struct ap_kind *k, const struct ap_doc *doc, const char *namespace_, const char **out_word,
    struct ap_error *err)
{
	struct ap_slice name = ap_doc_string(ap_doc_get(doc, "metadata"), "name", "");
	char path[800], base[700], one[700];
	struct ap_slice before, after;
	struct ap_buf body, answer;
	int status = 0, rc;
	bool exists;

	ap_buf_init(&body, BODY_CEILING);
	ap_buf_init(&answer, BODY_CEILING);
	ap_cli_path(k, namespace_, name.ptr, one, sizeof(one));
	ap_cli_path(k, namespace_, NULL, base, sizeof(base));
	rc = ap_cli_request(&a->target, "GET", one, NULL, NULL, AP_SLICE_NONE, &status, &answer, err);
	a->unreachable = rc != 0;
	exists = status == 200;
	before = exists ? version_of(a, ap_buf_slice(&answer)) : AP_SLICE_NONE;
	if (rc == 0 && !exists && status != 404)
		rc = ap_cli_refused(status, ap_buf_slice(&answer), err);
	if (rc == 0) {
		ap_json_write(doc, 0, &body);
		snprintf(path, sizeof(path), "%s?fieldManager=ambit%s", exists ? one : base, a->dry_run ? "&dryRun=All" : "");
		ap_buf_clear(&answer);
		rc = ap_cli_request(&a->target, exists ? "PUT" : "POST", path, NULL, "application/json", ap_buf_slice(&body), &status,
		    &answer, err);
	}
	if (rc == 0 && status / 100 != 2)
		rc = ap_cli_refused(status, ap_buf_slice(&answer), err);
	if (rc == 0) {
		after = version_of(a, ap_buf_slice(&answer));
		*out_word = !exists ? "created" : ap_slice_eq(before, after) ? "unchanged" : "configured";
	}
	ap_buf_done(&answer);
	ap_buf_done(&body);
	return rc;
}

static void
apply_one(struct apply *a, struct ap_doc *doc)
{
	const struct ap_kind *k = ap_kind_of(ap_doc_string(doc, "apiVersion", ""), ap_doc_string(doc, "kind", ""));
	const char *namespace_ = name_namespace(a, k, doc);
	struct ap_slice name = ap_doc_string(ap_doc_get(doc, "metadata"), "name", "");
	const char *word = "";
	struct ap_error err = { 0 };

	if (send(a, k, doc, namespace_, &word, &err) != 0) {
		tell(a, doc->at, err.text);
		return;
	}
	a->done++;
	printf("%s%s%s/%.*s %s%s\n", k->singular, k->group[0] == '\0' ? "" : ".", k->group, AP_FMT(name), word,
	    a->dry_run ? " (dry run)" : "");
}

static void
apply_files(struct apply *a)
{
	struct ap_cli_docs docs = { 0 };

	for (unsigned i = 0; i < a->file_count; i++)
		a->bad += ap_cli_read_objects(a->arena, a->files[i], &docs);
	for (size_t i = 0; i < docs.count && !a->unreachable; i++) {
		if (check(a, docs.items[i]))
			apply_one(a, docs.items[i]);
	}
	ap_vec_done(&docs);
}

static int
take_option(struct apply *a, int argc, char **argv, int *i)
{
	const char *word = argv[*i];
	int taken = ap_cli_target_option(&a->target, argc, argv, i);

	if (taken != 0)
		return taken < 0 ? -1 : 0;
	if (strcmp(word, "--dry-run") == 0) {
		a->dry_run = true;
		return 0;
	}
	if ((strcmp(word, "-f") == 0 || strcmp(word, "-n") == 0) && *i + 1 < argc) {
		if (word[1] == 'n')
			a->namespace_ = argv[++*i];
		else if (a->file_count < FILES_MAX)
			a->files[a->file_count++] = argv[++*i];
		return 0;
	}
	ap_cli_fail(&ap_command_apply, "'%s' is not understood, or lacks its value; see 'ambit apply --help'.", word);
	return -1;
}

static int
run_apply(int argc, char **argv)
{
	struct apply a = { 0 };

	ap_cli_target_init(&a.target);
	for (int i = 1; i < argc; i++) {
		if (take_option(&a, argc, argv, &i) != 0)
			return 2;
	}
	if (a.file_count == 0)
		return ap_cli_fail(&ap_command_apply, "name a file: -f FILE, a folder, or - for standard input.");
	a.arena = ap_arena_new((size_t)2 * 1024 * 1024 * 1024);
	apply_files(&a);
	ap_arena_free(&a.arena);
	return a.unreachable ? 2 : a.bad > 0 ? 1 : 0;
}

static const char *const words[] = { "-f", "-n", "--dry-run", "--server", "--token-file", "--ca-file", NULL };

const struct ap_command ap_command_apply = {
	.name = "apply",
	.group = "Resources",
	.usage = "-f FILE|FOLDER|- [-n NAMESPACE] [--dry-run]",
	.summary = "Create or replace resources from YAML",
	.help = "  -f FILE            a file, a folder of them, or - for standard input; may be repeated\n"
		"  -n NAMESPACE       for objects that name none ('default' without it)\n"
		"  --dry-run          check and answer as if, store nothing\n" AP_CLI_TARGET_HELP
		"\nKinds that are not read are refused by name, objects that are not right with file, line and column; the rest of the\n"
		"file is applied.\n\nExit codes: 0; 1 something was refused; 2 the API could not be asked.\n",
	.words = words,
	.run = run_apply,
};
