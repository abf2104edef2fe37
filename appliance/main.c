/* main.c -- the binary: hands the command line to the commands (cli/commands.def). */
#include "cli/command.h"

int
main(int argc, char **argv)
{
	return ap_cli_main(argc, argv);
}
