/*
 * loader.c -- opens a role's shared object and checks that it was built together with this host, before anything in it
 * is used.  Versioning is blunt on purpose: same contract, same size, same build, or a sentence and no start.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/slice.h"
#include "base/text.h"
#include "role/host_priv.h"

static bool
is_role_name(const char *name)
{
	return ap_text_is_label(ap_slice_of(name));
}

static int
check_role(const struct ap_role *role, const char *name, const char *path, struct ap_error *err)
{
	if (role->abi != ROLE_ABI || role->size != sizeof(*role))
		return ap_error_set(err, -EINVAL,
		    "%s speaks module contract %u, this host %u; install modules and host of one version.", path,
		    role->abi, ROLE_ABI);
	if (strcmp(role->build, AP_BUILD_ID) != 0)
		return ap_error_set(err, -EINVAL, "%s is of build %s, this host of build %s; install them together.",
		    path, role->build, AP_BUILD_ID);
	if (strcmp(role->name, name) != 0)
		return ap_error_set(
		    err, -EINVAL, "%s holds the role '%s'; restore the file of this name.", path, role->name);
	return 0;
}

int
ap_role_load(const char *role_dir, const char *name, struct ap_loaded *out, struct ap_error *err)
{
	char path[512];
	char file[64];
	const struct ap_role *role;
	void *handle;
	int rc;

	if (!is_role_name(name))
		return ap_error_set(err, -EINVAL, "'%s' cannot be the name of a role.", name);
	snprintf(file, sizeof(file), "%s", name);
	for (char *p = file; *p != '\0'; p++) {
		if (*p == '-')
			*p = '_';
	}
	snprintf(path, sizeof(path), "%s/%s.so", role_dir, file);
	if (access(path, R_OK) != 0)
		return ap_error_set(err, -ENOENT, "there is no module %s; install it, or correct spec.roles.", path);
	/* Never unloaded: log modules, metric rows and leak reports point into it until the process ends. */
	handle = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
	if (handle == NULL)
		return ap_error_set(err, -EINVAL, "%s cannot be loaded: %s", path, dlerror());
	role = dlsym(handle, "ap_role");
	if (role == NULL)
		rc = ap_error_set(err, -EINVAL, "%s is not a module of ambit: it holds no ap_role.", path);
	else
		rc = check_role(role, name, path, err);
	if (rc != 0) {
		dlclose(handle);
		return rc;
	}
	memset(out, 0, sizeof(*out));
	out->role = role;
	snprintf(out->log.name, sizeof(out->log.name), "%s", name);
	return 0;
}
