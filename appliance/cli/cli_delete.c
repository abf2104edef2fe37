/* cli_delete.c -- "ambit delete": objects by name, or those that a file names. */
#include <stdio.h>
#include <string.h>

#include "cli/client.h"
#include "cli/commands.h"
#include "cli/objects.h"

#define ANSWER_CEILING ((size_t)16 * 1024 * 1024)
#define NAMES_MAX 256

struct deletion {
	struct ap_cli_target target;
	const char *file, *namespace_;
	const char *words[NAMES_MAX];
	unsigned word_count, bad;
	bool unreachable;
};

static void
delete_one(struct deletion *d, const struct ap_kind *k, const char *namespace_, const char *name)
{
	struct ap_error err = { 0 };
	struct ap_buf answer;
	char path[800];
	int status = 0;

	ap_buf_init(&answer, ANSWER_CEILING);
	ap_cli_path(k, namespace_, name, path, sizeof(path));
	if (ap_cli_request(&d->target, "DELETE", path, NULL, NULL, AP_SLICE_NONE, &status, &answer, &err) != 0)
		d->unreachable = true;
	else if (status / 100 != 2)
		ap_cli_refused(status, ap_buf_slice(&answer), &err);
	if (err.code != 0) {
		ap_cli_fail(&ap_command_delete, "%s", err.text);
		d->bad++;
	} else {
		printf("%s%s%s/%s deleted\n", k->singular, k->group[0] == '\0' ? "" : ".", k->group, name);
	}
	ap_buf_done(&answer);
}

static void
delete_file(struct deletion *d)
{
	struct ap_arena *arena = ap_arena_new((size_t)1024 * 1024 * 1024);
	struct ap_cli_docs docs = { 0 };

	d->bad += ap_cli_read_objects(arena, d->file, &docs);
	for (size_t i = docs.count; i-- > 0 && !d->unreachable;) {
		const struct ap_doc *doc = docs.items[i];
		const struct ap_kind *k = ap_kind_of(ap_doc_string(doc, "apiVersion", ""), ap_doc_string(doc, "kind", ""));
		struct ap_slice ns = ap_doc_string(ap_doc_get(doc, "metadata"), "namespace", d->namespace_);
		struct ap_slice name = ap_doc_string(ap_doc_get(doc, "metadata"), "name", "");

		if (k != NULL)
			delete_one(d, k, ns.ptr, name.ptr);
	}
	ap_vec_done(&docs);
	ap_arena_free(&arena);
}

/* KIND NAME..., or KIND/NAME... */
static int
delete_words(struct deletion *d)
{
	const struct ap_kind *k;

	if (d->word_count > 0 && strchr(d->words[0], '/') != NULL) {
		for (unsigned i = 0; i < d->word_count; i++) {
			char kind[100];
			const char *slash = strchr(d->words[i], '/');

			if (slash == NULL)
				return ap_cli_fail(&ap_command_delete, "'%s' is not of the form KIND/NAME as the words before it.", d->words[i]);
			snprintf(kind, sizeof(kind), "%.*s", (int)(slash - d->words[i]), d->words[i]);
			k = ap_cli_kind(&ap_command_delete, kind);
			if (k == NULL)
				return 2;
			delete_one(d, k, d->namespace_, slash + 1);
		}
		return 0;
	}
	if (d->word_count < 2)
		return ap_cli_fail(&ap_command_delete, "name a kind and at least one object, or -f FILE.");
	k = ap_cli_kind(&ap_command_delete, d->words[0]);
	if (k == NULL)
		return 2;
	for (unsigned i = 1; i < d->word_count; i++)
		delete_one(d, k, d->namespace_, d->words[i]);
	return 0;
}

static int
run_delete(int argc, char **argv)
{
	struct deletion d = { .namespace_ = "default" };
	int rc = 0;

	ap_cli_target_init(&d.target);
	for (int i = 1; i < argc; i++) {
		int taken = ap_cli_target_option(&d.target, argc, argv, &i);

		if (taken < 0)
			return 2;
		if (taken > 0)
			continue;
		if (strcmp(argv[i], "-n") == 0 && i + 1 < argc)
			d.namespace_ = argv[++i];
		else if (strcmp(argv[i], "-f") == 0 && i + 1 < argc)
			d.file = argv[++i];
		else if (argv[i][0] == '-' && argv[i][1] != '\0')
			return ap_cli_fail(&ap_command_delete, "'%s' is not understood, or lacks its value; see 'ambit delete --help'.", argv[i]);
		else if (d.word_count < NAMES_MAX)
			d.words[d.word_count++] = argv[i];
	}
	if (d.file != NULL)
		delete_file(&d);
	else
		rc = delete_words(&d);
	return rc != 0 ? rc : d.unreachable ? 2 : d.bad > 0 ? 1 : 0;
}

static const char *const words[] = { "-f", "-n", "--server", "--token-file", "--ca-file", NULL };

const struct ap_command ap_command_delete = {
	.name = "delete",
	.group = "Resources",
	.usage = "KIND NAME... | KIND/NAME... | -f FILE [-n NAMESPACE]",
	.summary = "Delete resources",
	.help = "  -f FILE            delete what the file names, last first\n"
		"  -n NAMESPACE       where they are ('default' without it)\n" AP_CLI_TARGET_HELP
		"\nExit codes: 0; 1 something was not there or refused; 2 the API could not be asked.\n",
	.words = words,
	.run = run_delete,
};
