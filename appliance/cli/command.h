/* command.h -- one row per command of the binary; the table in cli.c gives help, completion and dispatch. */
#ifndef CLI_COMMAND_H
#define CLI_COMMAND_H
#include "base/compiler.h"

struct ap_command {
	const char *name;
	const char *group;   /* heading in the help: "Run", "Resources", "Mesh", "Lab" */
	const char *usage;   /* what stands behind the name: "-c FILE [--role NAME]..." */
	const char *summary; /* one line, for the list */
	const char *help;    /* the whole: options, a line each, examples, exit codes; ends with a newline */
	/* NULL-terminated; words for completion: options and subcommands. May be NULL. */
	const char *const *words;
	/* argv[0] is the command's name. Returns the exit code: 0, 1 (the answer is bad), 2 (could not ask; usage). */
	int (*run)(int argc, char **argv);
};

AP_PUBLIC_BEGIN
/* All of them, in the order of the help. */
const struct ap_command *const *ap_commands(unsigned *out_count);
/* The whole command line; returns the exit code. */
int ap_cli_main(int argc, char **argv);
/* One sentence on standard error: "ambit <command>: <text>"; returns 2. */
int ap_cli_fail(const struct ap_command *c, const char *fmt, ...) AP_PRINTF(2, 3);
/* Print the command's help to standard output; returns 0. */
int ap_cli_help(const struct ap_command *c);
AP_PUBLIC_END

/* Where processes of this host meet unless told otherwise: $AMBIT_RUN_DIR, else <runstatedir>/ambit. */
#define AP_ENV_RUN_DIR "AMBIT_RUN_DIR"

#endif
