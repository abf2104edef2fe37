/* cli_get.c -- "ambit get" and "ambit watch": resources as table, JSON or YAML, once or as they change. */
#include <stdio.h>
#include <string.h>

#include "cli/client.h"
#include "cli/commands.h"
#include "cli/objects.h"
#include "cli/output.h"
#include "codec/json.h"

#define AS_TABLE "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
#define ARENA_CEILING ((size_t)4 * 1024 * 1024 * 1024)

struct view {
	const struct ap_command *command;
	struct ap_cli_target target;
	const struct ap_kind *kind;
	const char *name, *namespace_, *selector;
	enum ap_cli_format format;
	bool everywhere, watch, heads_shown;
};

static void
list_path(const struct view *v, char *out, size_t size)
{
	char path[700];

	ap_cli_path(v->kind, v->everywhere ? NULL : v->namespace_, v->name, path, sizeof(path));
	snprintf(out, size, "%s%s%s", path, v->selector == NULL ? "" : "?labelSelector=", v->selector == NULL ? "" : v->selector);
}

static bool
is_table(const struct view *v)
{
	return v->format == AP_CLI_TABLE || v->format == AP_CLI_WIDE;
}

static int
fetch(const struct view *v, struct ap_arena *arena, const char *accept, struct ap_doc **out, struct ap_error *err)
{
	struct ap_buf body;
	char path[900];
	int status = 0, rc;

	ap_buf_init(&body, (size_t)512 * 1024 * 1024);
	list_path(v, path, sizeof(path));
	rc = ap_cli_request(&v->target, "GET", path, accept, NULL, AP_SLICE_NONE, &status, &body, err);
	if (rc != 0) {
		ap_cli_fail(v->command, "%s", err->text);
		rc = 2;
	} else if (status != 200) {
		ap_cli_refused(status, ap_buf_slice(&body), err);
		ap_cli_fail(v->command, "%s", err->text);
		rc = 1;
	} else if (ap_json_parse(arena, "answer", ap_arena_copy(arena, ap_buf_slice(&body)), out, err) != 0) {
		ap_cli_fail(v->command, "the answer cannot be read: %s", err->text);
		rc = 2;
	}
	ap_buf_done(&body);
	return rc;
}

static void
print_names(const struct view *v, const struct ap_doc *doc)
{
	const struct ap_doc *items = ap_doc_get(doc, "items");

	if (items == NULL) {
		printf("%s/%.*s\n", v->kind->singular, AP_FMT(ap_doc_string(ap_doc_get(doc, "metadata"), "name", "")));
		return;
	}
	AP_DOC_FOR(item, items)
		printf("%s/%.*s\n", v->kind->singular, AP_FMT(ap_doc_string(ap_doc_get(item, "metadata"), "name", "")));
}

static int
get_once(const struct view *v)
{
	struct ap_arena *arena = ap_arena_new(ARENA_CEILING);
	struct ap_doc *doc = NULL;
	struct ap_error err = { 0 };
	int rc = fetch(v, arena, is_table(v) ? AS_TABLE : NULL, &doc, &err);

	if (rc == 0 && is_table(v)) {
		const struct ap_doc *rows = ap_doc_get(doc, "rows");

		if (rows == NULL || rows->count == 0)
			fprintf(stderr, "No %s%s%s.\n", v->kind->plural, v->everywhere || !v->kind->namespaced ? "" : " in namespace ",
			    v->everywhere || !v->kind->namespaced ? "" : v->namespace_);
		else
			ap_cli_print_table(arena, doc, v->format == AP_CLI_WIDE, v->everywhere && v->kind->namespaced, true);
	} else if (rc == 0 && v->format == AP_CLI_NAME) {
		print_names(v, doc);
	} else if (rc == 0) {
		ap_cli_print_doc(doc, v->format);
	}
	ap_arena_free(&arena);
	return rc;
}

static bool
on_event(struct ap_slice line, void *arg)
{
	struct view *v = arg;
	struct ap_arena *arena = ap_arena_new(ARENA_CEILING);
	struct ap_doc *event = NULL;
	struct ap_error err = { 0 };
	const struct ap_doc *object;
	bool goes_on = true;

	if (line.len > 0 && ap_json_parse(arena, "event", line, &event, &err) == 0) {
		object = ap_doc_get(event, "object");
		if (ap_slice_eq(ap_doc_string(event, "type", ""), AP_S("ERROR"))) {
			ap_cli_fail(v->command, "%.*s", AP_FMT(ap_doc_string(object, "message", "the watch ended with an error")));
			goes_on = false;
		} else if (ap_slice_eq(ap_doc_string(event, "type", ""), AP_S("BOOKMARK"))) {
			goes_on = true;
		} else if (is_table(v)) {
			ap_cli_print_table(arena, object, v->format == AP_CLI_WIDE, v->everywhere && v->kind->namespaced, !v->heads_shown);
			v->heads_shown = true;
		} else if (v->format == AP_CLI_JSON) {
			printf("%.*s\n", AP_FMT(line));
		} else if (v->format == AP_CLI_YAML) {
			printf("---\n# %.*s\n", AP_FMT(ap_doc_string(event, "type", "")));
			ap_cli_print_doc(object, v->format);
		} else {
			print_names(v, object);
		}
		fflush(stdout);
	}
	ap_arena_free(&arena);
	return goes_on;
}

static int
watch(struct view *v)
{
	struct ap_error err = { 0 };
	char path[1000], list[900];
	int status = 0;

	list_path(v, list, sizeof(list));
	if (v->name != NULL) /* one object: the list of its name */
		ap_cli_path(v->kind, v->namespace_, NULL, list, sizeof(list));
	snprintf(path, sizeof(path), "%s%cwatch=1%s%s", list, strchr(list, '?') == NULL ? '?' : '&',
	    v->name == NULL ? "" : "&fieldSelector=metadata.name%3D", v->name == NULL ? "" : v->name);
	if (ap_cli_stream(&v->target, path, is_table(v) ? AS_TABLE : NULL, on_event, v, &status, &err) != 0)
		return ap_cli_fail(v->command, "%s", err.text);
	if (status != 200)
		return ap_cli_fail(v->command, "the API answered with status %d.", status) - 1;
	return 0;
}

/* 0 taken, -1 told. */
static int
take_word(struct view *v, int argc, char **argv, int *i)
{
	const char *word = argv[*i];
	int taken = ap_cli_target_option(&v->target, argc, argv, i);
	const char **into = strcmp(word, "-n") == 0 ? &v->namespace_ : strcmp(word, "-l") == 0 ? &v->selector : NULL;

	if (taken != 0)
		return taken < 0 ? -1 : 0;
	if (into != NULL && *i + 1 < argc) {
		*into = argv[++*i];
	} else if (strcmp(word, "-A") == 0) {
		v->everywhere = true;
	} else if (strcmp(word, "-w") == 0) {
		v->watch = true;
	} else if (strcmp(word, "-o") == 0 && *i + 1 < argc && ap_cli_format_parse(argv[*i + 1], &v->format) == 0) {
		++*i;
	} else if (word[0] == '-') {
		ap_cli_fail(v->command, "'%s' is not understood, or its value is not; see 'ambit %s --help'.", word, v->command->name);
		return -1;
	} else if (v->kind == NULL) {
		char kind[100];
		char *slash;

		snprintf(kind, sizeof(kind), "%s", word);
		slash = strchr(kind, '/');
		if (slash != NULL) {
			*slash = '\0';
			v->name = word + (slash - kind) + 1;
		}
		v->kind = ap_cli_kind(v->command, kind);
		return v->kind == NULL ? -1 : 0;
	} else if (v->name == NULL) {
		v->name = word;
	} else {
		ap_cli_fail(v->command, "'%s' is one name too many; ask for one object or for all.", word);
		return -1;
	}
	return 0;
}

static int
run(const struct ap_command *c, int argc, char **argv, bool watch_always)
{
	struct view v = { .command = c, .namespace_ = "default", .watch = watch_always };

	ap_cli_target_init(&v.target);
	for (int i = 1; i < argc; i++) {
		if (take_word(&v, argc, argv, &i) != 0)
			return 2;
	}
	if (v.kind == NULL)
		return ap_cli_fail(c, "name a kind, as in 'ambit %s services'; man ambit-resources lists them.", c->name);
	return v.watch ? watch(&v) : get_once(&v);
}

static int
run_get(int argc, char **argv)
{
	return run(&ap_command_get, argc, argv, false);
}

static int
run_watch(int argc, char **argv)
{
	return run(&ap_command_watch, argc, argv, true);
}

static const char *const words[] = { "-n", "-A", "-l", "-o", "-w", "table", "wide", "json", "yaml", "name", "services",
	"virtualservices", "destinationrules", "authorizationpolicies", "peerauthentications", "serviceentries", "workloadentries",
	"gateways.gateway.networking.k8s.io", "httproutes", "routetables", "luapolicies", "waypointpolicies", "namespaces", "hosts",
	"jointokens", "--server", "--token-file", "--ca-file", NULL };

#define OPTIONS_HELP \
	"  -n NAMESPACE       'default' without it\n" \
	"  -A                 all namespaces\n" \
	"  -l SELECTOR        labels, as in app=reviews,version=v1\n" \
	"  -o FORMAT          table, wide, json, yaml, name\n"

const struct ap_command ap_command_get = {
	.name = "get",
	.group = "Resources",
	.usage = "KIND[/NAME] [NAME] [-n NAMESPACE|-A] [-l SELECTOR] [-o FORMAT] [-w]",
	.summary = "Show resources",
	.help = OPTIONS_HELP "  -w                 go on with every change\n" AP_CLI_TARGET_HELP
			     "\nKinds are said as with kubectl: vs, virtualservice, virtualservices.networking.istio.io.\n\n"
			     "Exit codes: 0; 1 it is not there; 2 the API could not be asked.\n",
	.words = words,
	.run = run_get,
};

const struct ap_command ap_command_watch = {
	.name = "watch",
	.group = "Resources",
	.usage = "KIND[/NAME] [-n NAMESPACE|-A] [-l SELECTOR] [-o FORMAT]",
	.summary = "Show resources and every change of them until interrupted",
	.help = OPTIONS_HELP AP_CLI_TARGET_HELP "\nExit codes: 0; 1 the watch ended with an error; 2 the API could not be asked.\n",
	.words = words,
	.run = run_watch,
};
