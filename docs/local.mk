# docs -- distributed; the man pages are written by a program from the tables that the binary itself goes by.
EXTRA_DIST += docs/api.md docs/architecture.md docs/threat-model.md docs/module-abi.md docs/page.md docs/images/topology.png
noinst_PROGRAMS += docs/man/mangen
docs_man_mangen_SOURCES = docs/man/mangen.c
docs_man_mangen_LDADD = libappliance.la -ldl
nodist_man_MANS = docs/man/ambit.8 docs/man/ambit.yaml.5 docs/man/ambit-resources.5
CLEANFILES += $(nodist_man_MANS)
docs/man/ambit.8: docs/man/mangen
	$(AM_V_GEN)docs/man/mangen ambit.8 >$@
docs/man/ambit-resources.5: docs/man/mangen
	$(AM_V_GEN)docs/man/mangen ambit-resources.5 >$@
docs/man/ambit.yaml.5: docs/man/mangen $(role_LTLIBRARIES)
	$(AM_V_GEN)docs/man/mangen ambit.yaml.5 $(role_LTLIBRARIES:modules/%.la=modules/.libs/%.so) >$@
