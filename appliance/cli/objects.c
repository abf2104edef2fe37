/* objects.c -- kinds as people type them, paths of the API, documents from files. */
#include "cli/objects.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/text.h"
#include "cli/command.h"

#define FILE_CEILING ((size_t)8 * 1024 * 1024)
#define WORDS_MAX 256

const struct ap_kind *
ap_cli_kind(const struct ap_command *c, const char *word)
{
	const struct ap_kind *other = NULL;
	const struct ap_kind *k = ap_kind_by_word(ap_slice_of(word), &other);
	const struct ap_kind *const *kinds;
	const char *words[WORDS_MAX];
	const char *near;
	size_t count;
	size_t n = 0;

	if (k != NULL) {
		if (other != NULL)
			fprintf(stderr, "ambit %s: '%s' is taken for %s.%s; say %s.%s for the other one.\n", c->name, word, k->plural,
			    k->group[0] == '\0' ? "core" : k->group, other->plural, other->group);
		return k;
	}
	kinds = ap_kinds(&count);
	for (size_t i = 0; i < count && n < WORDS_MAX - 1; i++)
		words[n++] = kinds[i]->plural;
	words[n] = NULL;
	near = ap_text_nearest(ap_slice_of(word), words);
	if (near != NULL)
		ap_cli_fail(c, "there is no kind '%s'; did you mean '%s'?", word, near);
	else
		ap_cli_fail(c, "there is no kind '%s'; man ambit-resources lists them.", word);
	return NULL;
}

const char *
ap_cli_path(const struct ap_kind *k, const char *namespace_, const char *name, char *out, size_t size)
{
	char prefix[200], space[200] = "";

	if (k->group[0] == '\0')
		snprintf(prefix, sizeof(prefix), "/api/%s", k->versions[0]);
	else
		snprintf(prefix, sizeof(prefix), "/apis/%s/%s", k->group, k->versions[0]);
	if (k->namespaced && namespace_ != NULL)
		snprintf(space, sizeof(space), "/namespaces/%s", namespace_);
	snprintf(out, size, "%s%s/%s%s%s", prefix, space, k->plural, name == NULL ? "" : "/", name == NULL ? "" : name);
	return out;
}

static void
add_object(struct ap_doc *doc, struct ap_cli_docs *out)
{
	if (ap_slice_eq(ap_doc_string(doc, "kind", ""), AP_S("List"))) {
		AP_DOC_FOR(item, ap_doc_get(doc, "items"))
			add_object(item, out);
		return;
	}
	ap_vec_push(out, doc);
}

static unsigned
parse(struct ap_arena *arena, const char *name, struct ap_slice text, struct ap_cli_docs *out)
{
	struct ap_yaml_docs docs = { 0 };
	struct ap_error err = { 0 };
	char line[600];

	if (ap_yaml_parse(arena, name, text, &docs, &err) != 0) {
		fprintf(stderr, "%s\n", ap_error_format(&err, line, sizeof(line)));
		return 1;
	}
	for (uint32_t i = 0; i < docs.count; i++)
		add_object(docs.items[i], out);
	return 0;
}

static unsigned
read_file(struct ap_arena *arena, const char *path, struct ap_cli_docs *out)
{
	struct ap_error err = { 0 };
	struct ap_buf text;
	unsigned bad;

	ap_buf_init(&text, FILE_CEILING);
	if (ap_file_read(path, &text, &err) != 0) {
		fprintf(stderr, "ambit: %s\n", err.text);
		bad = 1;
	} else {
		bad = parse(arena, ap_arena_strndup(arena, path, strlen(path)), ap_arena_copy(arena, ap_buf_slice(&text)), out);
	}
	ap_buf_done(&text);
	return bad;
}

static unsigned
read_stdin(struct ap_arena *arena, struct ap_cli_docs *out)
{
	struct ap_buf text;
	char chunk[16384];
	unsigned bad = 0;
	size_t n;

	ap_buf_init(&text, FILE_CEILING);
	while ((n = fread(chunk, 1, sizeof(chunk), stdin)) > 0)
		ap_buf_add(&text, chunk, n);
	if (text.bad) {
		fprintf(stderr, "ambit: standard input is larger than %zu bytes; split it.\n", FILE_CEILING);
		bad = 1;
	} else {
		bad = parse(arena, "standard input", ap_arena_copy(arena, ap_buf_slice(&text)), out);
	}
	ap_buf_done(&text);
	return bad;
}

static int
is_resource_file(const struct dirent *entry)
{
	struct ap_slice name = ap_slice_of(entry->d_name);

	return ap_slice_ends(name, AP_S(".yaml")) || ap_slice_ends(name, AP_S(".yml")) || ap_slice_ends(name, AP_S(".json"));
}

static unsigned
read_folder(struct ap_arena *arena, const char *path, struct ap_cli_docs *out)
{
	struct dirent **entries = NULL;
	int count = scandir(path, &entries, is_resource_file, alphasort);
	unsigned bad = 0;

	for (int i = 0; i < count; i++) {
		char file[4096];

		snprintf(file, sizeof(file), "%s/%s", path, entries[i]->d_name);
		bad += read_file(arena, file, out);
		free(entries[i]);
	}
	free(entries);
	if (count <= 0) {
		fprintf(stderr, "ambit: %s holds no *.yaml, *.yml or *.json.\n", path);
		bad++;
	}
	return bad;
}

unsigned
ap_cli_read_objects(struct ap_arena *arena, const char *path, struct ap_cli_docs *out)
{
	struct stat st;

	if (strcmp(path, "-") == 0)
		return read_stdin(arena, out);
	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		return read_folder(arena, path, out);
	return read_file(arena, path, out);
}
