/* lab_exec.c -- a command of one's own in a VM, under the identity of its shell workload where it has one. */
#include <stdio.h>
#include <string.h>

#include "lab/lab.h"

int
lab_exec(const struct lab *lab, const char *vm, char **argv)
{
	const struct lab_vm *found = lab_find_vm(vm);
	struct lab_spawn s = { .vm = vm, .log = "exec", .in_foreground = true, .argv = (const char *const *)(uintptr_t)argv };
	struct ap_error err = { 0 };
	int rc;

	if (found == NULL && strcmp(vm, LAB_HUB) != 0) {
		fprintf(stderr, "ambit lab: there is no VM '%s'; 'ambit lab status' lists them.\n", vm);
		return 2;
	}
	for (const struct lab_program *p = found == NULL ? NULL : found->programs; p != NULL && p->workload != NULL; p++) {
		if (p->is_shell)
			s.uid = p->uid;
	}
	rc = lab_spawn(lab, &s, NULL, &err);
	if (rc < 0) {
		fprintf(stderr, "ambit lab: %s\n", err.text);
		return 2;
	}
	return rc;
}
