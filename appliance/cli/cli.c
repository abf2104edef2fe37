/*
 * cli.c -- dispatch of the command line.  Everything that a user can type is a row of one table, from which help, "did you
 * mean" and shell completion come; a command itself lives in the file of its name.
 */
#include "cli/command.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "cli/commands.h"

static const struct ap_command *const commands[] = {
#define AP_COMMAND(name_) &ap_command_##name_,
#include "cli/commands.def"
#undef AP_COMMAND
};

#define NAMES_MAX 64

const struct ap_command *const *
ap_commands(unsigned *out_count)
{
	*out_count = (unsigned)AP_COUNTOF(commands);
	return commands;
}

int
ap_cli_fail(const struct ap_command *c, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "ambit %s: ", c->name);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return 2;
}

int
ap_cli_help(const struct ap_command *c)
{
	printf("Usage: ambit %s %s\n\n%s.\n\n%s", c->name, c->usage, c->summary, c->help);
	return 0;
}

static int
print_overview(FILE *out)
{
	const char *group = "";

	fputs("Ambit: an ambient service mesh for virtual machines and edge boxes.\n\nUsage: ambit COMMAND [ARGUMENT]...\n",
	    out);
	for (size_t i = 0; i < AP_COUNTOF(commands); i++) {
		if (strcmp(group, commands[i]->group) != 0) {
			group = commands[i]->group;
			fprintf(out, "\n%s\n", group);
		}
		fprintf(out, "  %-14s %s\n", commands[i]->name, commands[i]->summary);
	}
	fputs("\n'ambit COMMAND --help' tells the rest. Exit codes: 0 fine, 1 the answer is bad, 2 could not ask.\n", out);
	return 0;
}

static const struct ap_command *
find_command(const char *name)
{
	for (size_t i = 0; i < AP_COUNTOF(commands); i++) {
		if (strcmp(commands[i]->name, name) == 0)
			return commands[i];
	}
	return NULL;
}

static int
refuse_unknown(const char *name)
{
	const char *names[NAMES_MAX];
	const char *near;
	size_t n = 0;

	for (size_t i = 0; i < AP_COUNTOF(commands) && n < NAMES_MAX - 1; i++)
		names[n++] = commands[i]->name;
	names[n] = NULL;
	near = ap_text_nearest(ap_slice_of(name), names);
	if (near != NULL)
		fprintf(stderr, "ambit: there is no command '%s'; did you mean '%s'?\n", name, near);
	else
		fprintf(stderr, "ambit: there is no command '%s'; 'ambit help' lists them.\n", name);
	return 2;
}

static bool
is_help(const char *word)
{
	return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

int
ap_cli_main(int argc, char **argv)
{
	const struct ap_command *c;

	if (argc < 2) {
		print_overview(stderr);
		return 2;
	}
	if (is_help(argv[1]) || (strcmp(argv[1], "help") == 0 && argc == 2))
		return print_overview(stdout);
	if (strcmp(argv[1], "--version") == 0)
		argv[1] = (char *)(uintptr_t)"version";
	if (strcmp(argv[1], "help") == 0) {
		c = find_command(argv[2]);
		return c != NULL ? ap_cli_help(c) : refuse_unknown(argv[2]);
	}
	c = find_command(argv[1]);
	if (c == NULL)
		return refuse_unknown(argv[1]);
	/* Only as the first word: "lab exec VM -- CMD --help" belongs to CMD. */
	if (argc > 2 && is_help(argv[2]))
		return ap_cli_help(c);
	return c->run(argc - 1, argv + 1);
}
