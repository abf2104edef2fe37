# cli -- one file per command (cli_<name>.c) and a row each in commands.def.
libcore_la_SOURCES += \
	appliance/cli/cli.c \
	appliance/cli/cli_completion.c \
	appliance/cli/cli_run.c \
	appliance/cli/cli_version.c \
	appliance/cli/command.h \
	appliance/cli/commands.def \
	appliance/cli/commands.h
