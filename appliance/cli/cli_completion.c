/* cli_completion.c -- "ambit completion": a shell script made from the table of commands. */
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"

static void
print_words(const struct ap_command *c)
{
	for (size_t i = 0; c->words != NULL && c->words[i] != NULL; i++)
		printf("%s ", c->words[i]);
	fputs("--help", stdout);
}

static void
print_bash(void)
{
	unsigned count;
	const struct ap_command *const *all = ap_commands(&count);

	puts("# bash completion of ambit; made by: ambit completion bash");
	puts("_ambit()\n{");
	puts("\tlocal cur=${COMP_WORDS[COMP_CWORD]} words=\n\tif [ \"$COMP_CWORD\" -eq 1 ]; then\n\t\twords=\"help \\");
	for (unsigned i = 0; i < count; i++)
		printf("%s ", all[i]->name);
	puts("\"\n\telse\n\t\tcase ${COMP_WORDS[1]} in");
	for (unsigned i = 0; i < count; i++) {
		printf("\t\t%s) words=\"", all[i]->name);
		print_words(all[i]);
		puts("\" ;;");
	}
	puts("\t\tesac\n\tfi");
	puts("\tCOMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))");
	puts("\t[ ${#COMPREPLY[@]} -gt 0 ] || COMPREPLY=($(compgen -f -- \"$cur\"))\n}");
	puts("complete -o filenames -F _ambit ambit");
}

static void
print_zsh(void)
{
	puts("#compdef ambit\nautoload -U +X bashcompinit && bashcompinit");
	print_bash();
}

static void
print_fish(void)
{
	unsigned count;
	const struct ap_command *const *all = ap_commands(&count);

	for (unsigned i = 0; i < count; i++) {
		printf("complete -c ambit -n __fish_use_subcommand -a %s -d '%s'\n", all[i]->name, all[i]->summary);
		for (size_t k = 0; all[i]->words != NULL && all[i]->words[k] != NULL; k++)
			printf("complete -c ambit -n '__fish_seen_subcommand_from %s' -a '%s'\n", all[i]->name,
			    all[i]->words[k]);
	}
}

static int
run_completion(int argc, char **argv)
{
	static const struct {
		const char *shell;
		void (*print)(void);
	} shells[] = { { "bash", print_bash }, { "zsh", print_zsh }, { "fish", print_fish } };

	for (size_t i = 0; argc == 2 && i < AP_COUNTOF(shells); i++) {
		if (strcmp(argv[1], shells[i].shell) == 0) {
			shells[i].print();
			return 0;
		}
	}
	return ap_cli_fail(&ap_command_completion, "name one shell: bash, zsh or fish.");
}

static const char *const words[] = { "bash", "zsh", "fish", NULL };

const struct ap_command ap_command_completion = {
	.name = "completion",
	.group = "This program",
	.usage = "bash|zsh|fish",
	.summary = "Print a completion script for a shell",
	.help = "Try it:  source <(ambit completion bash)\nThe packages install it.\n\nExit codes: 0; 2 unknown shell.\n",
	.words = words,
	.run = run_completion,
};
