# cli -- one file per command (cli_<name>.c) and a row each in commands.def.
libcore_la_SOURCES += \
	appliance/cli/cli.c \
	appliance/cli/cli_apply.c \
	appliance/cli/cli_completion.c \
	appliance/cli/cli_delete.c \
	appliance/cli/cli_get.c \
	appliance/cli/cli_join.c \
	appliance/cli/cli_run.c \
	appliance/cli/cli_status.c \
	appliance/cli/cli_token.c \
	appliance/cli/cli_version.c \
	appliance/cli/cli_waypoint.c \
	appliance/cli/client.c \
	appliance/cli/client.h \
	appliance/cli/command.h \
	appliance/cli/commands.def \
	appliance/cli/commands.h \
	appliance/cli/objects.c \
	appliance/cli/objects.h \
	appliance/cli/output.c \
	appliance/cli/output.h
