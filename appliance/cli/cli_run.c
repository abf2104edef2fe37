/* cli_run.c -- "ambit run": load roles and serve. */
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "role/host.h"

#define ROLES_MAX 16
#define DEFAULT_CONFIG AP_SYSCONFDIR "/ambit/ambit.yaml"

static int
run_run(int argc, char **argv)
{
	const char *roles[ROLES_MAX + 1] = { NULL };
	struct ap_host_options options = { .config_path = DEFAULT_CONFIG };
	size_t role_count = 0;
	bool check = false;

	for (int i = 1; i < argc; i++) {
		bool takes_value = strcmp(argv[i], "-c") == 0 || strcmp(argv[i], "--role") == 0 ||
		    strcmp(argv[i], "--role-dir") == 0;

		if (takes_value && i + 1 == argc)
			return ap_cli_fail(&ap_command_run, "%s needs a value behind it.", argv[i]);
		if (strcmp(argv[i], "-c") == 0) {
			options.config_path = argv[++i];
		} else if (strcmp(argv[i], "--role-dir") == 0) {
			options.role_dir = argv[++i];
		} else if (strcmp(argv[i], "--role") == 0) {
			if (role_count == ROLES_MAX)
				return ap_cli_fail(&ap_command_run, "more than %d roles were named.", ROLES_MAX);
			roles[role_count++] = argv[++i];
		} else if (strcmp(argv[i], "--check") == 0) {
			check = true;
		} else {
			return ap_cli_fail(&ap_command_run, "'%s' is not understood; see 'ambit run --help'.", argv[i]);
		}
	}
	if (role_count > 0)
		options.roles = roles;
	return check ? ap_host_check(&options) : ap_host_run(&options);
}

static const char *const words[] = { "-c", "--role", "--role-dir", "--check", "ztunnel", "waypoint", "control-plane",
	"waypoint-manager", "metrics-ui", NULL };

const struct ap_command ap_command_run = {
	.name = "run",
	.group = "Run",
	.usage = "[-c FILE] [--role NAME]... [--check]",
	.summary = "Load roles and serve until SIGTERM",
	.help = "  -c FILE          the YAML file; " DEFAULT_CONFIG " by default\n"
		"  --role NAME      load this role instead of the file's spec.roles; may be repeated:\n"
		"                   ztunnel, waypoint, control-plane, waypoint-manager, metrics-ui\n"
		"  --role-dir DIR   where the roles' shared objects are\n"
		"  --check          check the file against the roles, print every problem, and exit\n\n"
		"SIGHUP reads the file again: every role takes the new one, or all keep the old one.\n"
		"SIGTERM and SIGINT drain connections (spec.drain) and stop; a second SIGINT stops at once.\n\n"
		"Exit codes: 0 stopped; 1 failed while running; 2 bad file, module or argument.\n",
	.words = words,
	.run = run_run,
};
