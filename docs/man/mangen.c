/*
 * mangen.c -- writes the manual from what the program itself goes by: the table of commands, the rows of the configuration, the
 * table of kinds.  Run at build time: mangen ambit.8 | ambit.yaml.5 MODULE.so... | ambit-resources.5.  mdoc on standard output.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "base/compiler.h"
#include "cli/command.h"
#include "model/appliance_rows.h"
#include "model/kind.h"
#include "model/schema.h"
#include "role/role.h"

#define DEPTH_MAX 12

/* Text with what mdoc would take for its own made harmless. */
static void
put(const char *text)
{
	bool at_start = true;

	for (; text != NULL && *text != '\0'; text++) {
		if (at_start && (*text == '.' || *text == '\''))
			fputs("\\&", stdout);
		if (*text == '\\')
			fputs("\\e", stdout);
		else
			putchar(*text);
		at_start = *text == '\n';
	}
}

static void
head(const char *title, const char *section, const char *name, const char *summary)
{
	printf(".Dd November 24, 2026\n.Dt %s %s\n.Os Ambit\n.Sh NAME\n.Nm %s\n.Nd %s\n", title, section, name, summary);
}

static int
write_commands(void)
{
	unsigned count;
	const struct ap_command *const *all = ap_commands(&count);

	head("AMBIT", "8", "ambit", "ambient service mesh for virtual machines");
	puts(".Sh SYNOPSIS\n.Nm\n.Ar command\n.Op Ar argument ...\n.Sh DESCRIPTION\n"
	     "Gives programs on virtual machines an identity, encrypts what they say to one another, enforces policy on it\n"
	     "and draws who talks to whom, without touching them.\n.Sh COMMANDS");
	for (unsigned i = 0; i < count; i++) {
		printf(".Ss ambit %s ", all[i]->name);
		put(all[i]->usage);
		putchar('\n');
		put(all[i]->summary);
		puts(".\n.Bd -literal");
		put(all[i]->help);
		puts(".Ed");
	}
	puts(".Sh ENVIRONMENT\n.Bl -tag -width AMBIT_ROLE_DIR\n.It Ev AMBIT_RUN_DIR\nWhere the sockets of this host's processes are.\n"
	     ".It Ev AMBIT_ROLE_DIR\nWhere the roles' shared objects are.\n.El\n.Sh EXIT STATUS\n0 fine, 1 the answer is bad, 2 could\n"
	     "not ask or wrong usage.\n.Sh SEE ALSO\n.Xr ambit-resources 5 ,\n.Xr ambit.yaml 5");
	return 0;
}

static const char *
type_name(const struct ap_field_row *row)
{
	static const char *const names[] = { "text", "integer", "number", "boolean", "duration", "object", "list", "map",
		"integer or text", "anything" };

	return names[row->type];
}

static void
write_row_facts(const struct ap_field_row *row)
{
	printf("(%s", type_name(row));
	if (row->flags & AP_F_REQUIRED)
		fputs(", required", stdout);
	if (row->preset != NULL)
		printf(", default %s", row->preset);
	if (row->min != 0 || row->max != 0)
		printf(", %lld to %lld", (long long)row->min, (long long)row->max);
	for (const char *const *v = row->values; v != NULL && *v != NULL; v++)
		printf("%s%s", v == row->values ? ", one of " : " | ", *v);
	if (row->flags & AP_F_REPORTED)
		fputs(", read but not honoured yet: the status says so", stdout);
	puts(")");
}

static void
write_rows(const struct ap_schema *schema, const char *prefix, unsigned depth)
{
	for (const struct ap_field_row *row = schema->rows; row->name != NULL; row++) {
		bool many = row->type == AP_T_LIST || row->type == AP_T_MAP;
		char path[512];

		snprintf(path, sizeof(path), "%s%s%s", prefix, row->name, many ? "[]" : "");
		printf(".It Cm %s\n", path);
		put(row->doc);
		putchar('\n');
		write_row_facts(row);
		if (row->of != NULL && row->of != schema && depth < DEPTH_MAX) {
			size_t len = strlen(path);

			snprintf(path + len, sizeof(path) - len, ".");
			write_rows(row->of, path, depth + 1);
		}
	}
}

static int
write_config(int count, char **modules)
{
	head("AMBIT.YAML", "5", "ambit.yaml", "configuration of an Ambit process");
	puts(".Sh DESCRIPTION\nThe first document of the file, of kind Appliance, configures the process; the documents behind it are\n"
	     "mesh resources, applied at start by a process that runs the control plane.\nAn unknown key is an error.\n"
	     ".Sh KEYS\n.Bl -tag -width Ds");
	write_rows(&ap_appliance_root, "", 0);
	write_rows(&ap_appliance_spec, "spec.", 0);
	puts(".El");
	for (int i = 0; i < count; i++) {
		void *handle = dlopen(modules[i], RTLD_NOW | RTLD_LOCAL);
		const struct ap_role *role = handle == NULL ? NULL : dlsym(handle, "ap_role");

		if (role == NULL) {
			fprintf(stderr, "mangen: %s: %s\n", modules[i], dlerror());
			return 1;
		}
		if (role->section == NULL)
			continue;
		printf(".Sh ROLE %s: spec.%s\n", role->name, role->section);
		put(role->schema->doc);
		puts("\n.Bl -tag -width Ds");
		write_rows(role->schema, "", 0);
		puts(".El");
	}
	puts(".Sh SEE ALSO\n.Xr ambit-resources 5 ,\n.Xr ambit 8");
	return 0;
}

static int
write_kinds(void)
{
	size_t count;
	const struct ap_kind *const *kinds = ap_kinds(&count);

	head("AMBIT-RESOURCES", "5", "ambit-resources", "kinds of resources that the control plane reads");
	puts(".Sh DESCRIPTION\nEach kind with its groups, versions and fields.");
	for (size_t i = 0; i < count; i++) {
		const struct ap_kind *k = kinds[i];

		printf(".Sh %s\n", k->kind);
		put(k->doc);
		printf("\nGroup %s, versions", k->group[0] == '\0' ? "core" : k->group);
		for (const char *const *v = k->versions; *v != NULL; v++)
			printf(" %s", *v);
		printf("; %s.\n.Bl -tag -width Ds\n", k->namespaced ? "namespaced" : "cluster scoped");
		write_rows(k->schema, "", 0);
		puts(".El");
	}
	puts(".Sh SEE ALSO\n.Xr ambit.yaml 5 ,\n.Xr ambit 8");
	return 0;
}

int
main(int argc, char **argv)
{
	const char *page = argc > 1 ? argv[1] : "";

	if (strcmp(page, "ambit.8") == 0)
		return write_commands();
	if (strcmp(page, "ambit.yaml.5") == 0)
		return write_config(argc - 2, argv + 2);
	if (strcmp(page, "ambit-resources.5") == 0)
		return write_kinds();
	fputs("Usage: mangen ambit.8 | ambit.yaml.5 MODULE.so... | ambit-resources.5\n", stderr);
	return 2;
}
