/* cli_lab.c -- "ambit lab": the whole mesh on one machine. */
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "lab/lab.h"

extern const struct ap_command ap_command_lab;

static int
refuse(const char *word)
{
	return ap_cli_fail(&ap_command_lab, "'%s' is not understood; say up, status, story, exec VM -- COMMAND, or down.", word);
}

static int
run_exec(const struct lab *lab, int argc, char **argv)
{
	int at = 3;

	if (argc > at && strcmp(argv[at], "--") == 0)
		at++;
	if (argc <= at)
		return ap_cli_fail(&ap_command_lab, "exec wants a VM and a command: ambit lab exec client -- curl http://reviews:9080/");
	return lab_exec(lab, argv[2], argv + at);
}

static int
run_lab(int argc, char **argv)
{
	const char *word = argc > 1 ? argv[1] : "";
	const char *option = argc > 2 ? argv[2] : NULL;
	struct ap_error err = { 0 };
	struct lab lab;

	if (lab_open(&lab, &err) != 0)
		return ap_cli_fail(&ap_command_lab, "%s", err.text);
	if (strcmp(word, "exec") == 0)
		return run_exec(&lab, argc, argv);
	if (strcmp(word, "up") == 0 && option == NULL)
		return lab_up(&lab);
	if (strcmp(word, "down") == 0 && option == NULL)
		return lab_down(&lab, false);
	if (strcmp(word, "story") == 0 && (option == NULL || strcmp(option, "--wait") == 0))
		return lab_story(&lab, option != NULL);
	if (strcmp(word, "status") == 0 && option == NULL)
		return lab_status(&lab, false);
	if (strcmp(word, "status") == 0 && argc == 4 && strcmp(option, "-o") == 0 &&
	    (strcmp(argv[3], "json") == 0 || strcmp(argv[3], "table") == 0))
		return lab_status(&lab, strcmp(argv[3], "json") == 0);
	return refuse(argc > 2 ? option : word);
}

static const char *const words[] = { "up", "status", "story", "exec", "down", "--wait", "-o", "json", NULL };

const struct ap_command ap_command_lab = {
	.name = "lab",
	.group = "Lab",
	.usage = "up | status [-o json] | story [--wait] | exec VM -- COMMAND | down",
	.summary = "Run a fleet of VMs as network namespaces on this machine",
	.help = "  up                     bring it up: seven namespaces, Bookinfo, Redis, a steady load; prints the page's address\n"
		"  status [-o json]       VMs, addresses, workloads, and where API, kubeconfig and page are\n"
		"  story [--wait]         apply routes and policies one at a time and explain what happens; --wait stops between\n"
		"  exec VM -- COMMAND     run a command in a VM (in 'client': as the workload 'shell')\n"
		"  down                   end it; leaves no namespace, process, rule or file behind, after a crash too\n\n"
		"It needs root, for network namespaces. AMBIT_LAB_NAME and AMBIT_LAB_NET (10.77.0) make a second lab possible;\n"
		"AMBIT_LAB_KEEP=1 leaves a failed one standing.\n\n"
		"Exit codes: 0; 1 the lab failed or is down; 2 wrong words or missing tools; exec: the command's own.\n",
	.words = words,
	.run = run_lab,
};
