# Unit tests of mesh.
check_PROGRAMS += tests/unit/mesh/test_table
TESTS += tests/unit/mesh/test_table
tests_unit_mesh_test_table_SOURCES = tests/unit/mesh/test_table.c tests/unit/mesh/wire.h
tests_unit_mesh_test_table_CFLAGS = $(CFLAGS_UNIT)
tests_unit_mesh_test_table_LDADD = $(LIBS_UNIT)
check_PROGRAMS += tests/unit/mesh/test_policy
TESTS += tests/unit/mesh/test_policy
tests_unit_mesh_test_policy_SOURCES = tests/unit/mesh/test_policy.c tests/unit/mesh/wire.h
tests_unit_mesh_test_policy_CFLAGS = $(CFLAGS_UNIT)
tests_unit_mesh_test_policy_LDADD = $(LIBS_UNIT)
check_PROGRAMS += tests/unit/mesh/test_labels
TESTS += tests/unit/mesh/test_labels
tests_unit_mesh_test_labels_SOURCES = tests/unit/mesh/test_labels.c tests/unit/mesh/wire.h
tests_unit_mesh_test_labels_CFLAGS = $(CFLAGS_UNIT)
tests_unit_mesh_test_labels_LDADD = $(LIBS_UNIT)
