/* cli_status.c -- "ambit status": the Ambit processes of this host, by their admin sockets. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/client.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "codec/json.h"

#define ARENA_CEILING ((size_t)64 * 1024 * 1024)

static int
is_admin_socket(const struct dirent *entry)
{
	struct ap_slice name = ap_slice_of(entry->d_name);

	return ap_slice_starts(name, AP_S("admin-")) && ap_slice_ends(name, AP_S(".sock"));
}

/* {"name", "answers", and what the process says of itself} */
static struct ap_doc *
ask(struct ap_arena *arena, const char *folder, const char *file)
{
	struct ap_doc *one = ap_doc_new_map(arena), *said = NULL;
	struct ap_slice name = ap_slice_sub(ap_slice_of(file), 6, strlen(file) - 11);
	struct ap_error err = { 0 };
	struct ap_buf body;
	char path[700];
	int status = 0;

	snprintf(path, sizeof(path), "%s/%s", folder, file);
	ap_doc_set_string(arena, one, "name", name);
	ap_buf_init(&body, (size_t)1 << 20);
	if (ap_cli_admin_get(path, "/status", &status, &body, &err) == 0 && status == 200 &&
	    ap_json_parse(arena, path, ap_arena_copy(arena, ap_buf_slice(&body)), &said, &err) == 0) {
		AP_DOC_FOR(member, said)
			ap_doc_set(arena, one, member->key.ptr, ap_doc_copy(arena, member));
	}
	ap_doc_set(arena, one, "answers", ap_doc_new_bool(arena, said != NULL));
	ap_buf_done(&body);
	return one;
}

static struct ap_slice
join_roles(struct ap_arena *arena, const struct ap_doc *roles)
{
	struct ap_slice all = AP_SLICE_NONE;

	AP_DOC_FOR(role, roles)
		all = ap_arena_printf(arena, "%.*s%s%.*s", AP_FMT(all), all.len == 0 ? "" : ", ", AP_FMT(role->string));
	return all;
}

static void
print(struct ap_arena *arena, const struct ap_doc *list)
{
	static const char *const heads[] = { "NAME", "ROLES", "READY", "PENDING", "VERSION", NULL };
	struct ap_cli_table t;

	ap_cli_table_init(&t, arena, heads);
	AP_DOC_FOR(one, list) {
		bool answers = ap_doc_bool(one, "answers", false);

		ap_cli_table_add(&t, ap_doc_string(one, "name", ""));
		ap_cli_table_add(&t, join_roles(arena, ap_doc_get(one, "roles")));
		ap_cli_table_add(&t, !answers ? AP_S("dead") : ap_doc_bool(one, "ready", false) ? AP_S("yes") : AP_S("no"));
		ap_cli_table_add(&t, answers ? ap_doc_string(one, "pending", "") : AP_S("its socket does not answer"));
		ap_cli_table_add(&t, ap_doc_string(one, "version", ""));
	}
	ap_cli_table_print(&t);
}

static int
run_status(int argc, char **argv)
{
	const char *folder = ap_cli_run_dir();
	enum ap_cli_format format = AP_CLI_TABLE;
	struct dirent **entries = NULL;
	struct ap_arena *arena;
	struct ap_doc *list;
	int count;
	bool all_ready = true;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "-o") == 0 && i + 1 < argc && ap_cli_format_parse(argv[i + 1], &format) == 0)
			i++;
		else
			return ap_cli_fail(&ap_command_status, "'%s' is not understood; see 'ambit status --help'.", argv[i]);
	}
	count = scandir(folder, &entries, is_admin_socket, alphasort);
	if (count <= 0) {
		free(entries);
		return ap_cli_fail(&ap_command_status, "no Ambit process has a socket in %s; start one, or set AMBIT_RUN_DIR.", folder);
	}
	arena = ap_arena_new(ARENA_CEILING);
	list = ap_doc_new_list(arena);
	for (int i = 0; i < count; i++) {
		struct ap_doc *one = ask(arena, folder, entries[i]->d_name);

		all_ready = all_ready && ap_doc_bool(one, "ready", false);
		ap_doc_append(list, one);
		free(entries[i]);
	}
	free(entries);
	if (format == AP_CLI_JSON || format == AP_CLI_YAML)
		ap_cli_print_doc(list, format);
	else
		print(arena, list);
	ap_arena_free(&arena);
	return all_ready ? 0 : 1;
}

static const char *const words[] = { "-o", "table", "json", "yaml", NULL };

const struct ap_command ap_command_status = {
	.name = "status",
	.group = "Mesh",
	.usage = "[-o table|json|yaml]",
	.summary = "Tell whether this host's Ambit processes are ready, and what they wait for",
	.help = "Asks every admin socket in the run folder (AMBIT_RUN_DIR).\n\n"
		"Exit codes: 0 all are ready; 1 some are not; 2 there is none, or they may not be asked.\n",
	.words = words,
	.run = run_status,
};
