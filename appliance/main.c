/* main.c -- the binary: hands the command line to the commands. */
int
main(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return 0;
}
