/* cli_version.c -- "ambit version": what this is and what it stands on. */
#include <ares.h>
#include <event2/event.h>
#include <lua.h>
#include <nghttp2/nghttp2.h>
#include <openssl/crypto.h>
#include <sqlite3.h>
#include <stdio.h>

#include "cli/commands.h"

static int
run_version(int argc, char **argv)
{
	if (argc > 1)
		return ap_cli_fail(&ap_command_version, "'%s' is not understood; it takes no argument.", argv[1]);
	printf("ambit %s (build %s)\n", PACKAGE_VERSION, AP_BUILD_ID);
	printf("%s, nghttp2 %s, libevent %s, SQLite %s, %s, c-ares %s\n", OpenSSL_version(OPENSSL_VERSION),
	    nghttp2_version(0)->version_str, event_get_version(), sqlite3_libversion(), LUA_RELEASE, ares_version(NULL));
	return 0;
}

const struct ap_command ap_command_version = {
	.name = "version",
	.group = "This program",
	.usage = "",
	.summary = "Print the version of ambit and of the libraries that it runs on",
	.help = "Exit codes: 0.\n",
	.run = run_version,
};
