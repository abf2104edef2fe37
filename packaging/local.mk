# packaging -- what the distributions' packages install besides the program, and the one list of dependencies.
sysusersdir = $(prefix)/lib/sysusers.d
tmpfilesdir = $(prefix)/lib/tmpfiles.d
dist_sysusers_DATA = packaging/sysusers.d/ambit.conf
dist_tmpfiles_DATA = packaging/tmpfiles.d/ambit.conf
EXTRA_DIST += packaging/dependencies packaging/install-dependencies
# Completion for the shell, made from the table of commands.
bashcompletiondir = $(datadir)/bash-completion/completions
nodist_bashcompletion_DATA = packaging/completion/ambit
CLEANFILES += $(nodist_bashcompletion_DATA)
packaging/completion/ambit: ambit$(EXEEXT)
	$(AM_V_GEN)mkdir -p packaging/completion && ./ambit completion bash >$@
