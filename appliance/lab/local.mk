# lab -- a fleet of network namespaces on one machine.
libcore_la_SOURCES += \
	appliance/lab/cli_lab.c \
	appliance/lab/lab.c \
	appliance/lab/lab.h \
	appliance/lab/lab_command.c \
	appliance/lab/lab_config.c \
	appliance/lab/lab_exec.c \
	appliance/lab/lab_net.c \
	appliance/lab/lab_plan.c \
	appliance/lab/lab_probe.c \
	appliance/lab/lab_spawn.c \
	appliance/lab/lab_status.c \
	appliance/lab/lab_story.c \
	appliance/lab/lab_up.c
# The script that the story applies, as lines of YAML in C.
BUILT_SOURCES += appliance/lab/lab_script.inc
CLEANFILES += appliance/lab/lab_script.inc
appliance/lab/lab_script.inc: lua/examples/lab-header.lua
	$(AM_V_GEN)mkdir -p $(builddir)/appliance/lab && \
	sed -e 's/[\\"]/\\&/g' -e 's/^/"    /' -e 's/$$/\\n"/' $< >$@
