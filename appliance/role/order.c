/* order.c -- sorts roles so that who offers a service comes before who needs it; says which roles need one another in a circle. */
#include <errno.h>
#include <string.h>

#include "role/host_priv.h"

static bool
list_has(const char *const *list, const char *name)
{
	for (; list != NULL && *list != NULL; list++) {
		if (strcmp(*list, name) == 0)
			return true;
	}
	return false;
}

/* Index of who offers it, or count. */
static uint32_t
find_offer(const struct ap_loaded *loaded, uint32_t count, const char *service)
{
	uint32_t i = 0;

	while (i < count && !list_has(loaded[i].role->offers, service))
		i++;
	return i;
}

/* Every service that i needs is offered by one that stands before `placed`. */
static bool
is_satisfied(const struct ap_loaded *loaded, uint32_t placed, const struct ap_role *role)
{
	for (const char *const *need = role->needs; need != NULL && *need != NULL; need++) {
		if (find_offer(loaded, placed, *need) == placed)
			return false;
	}
	return true;
}

static int
check_needs(const struct ap_loaded *loaded, uint32_t count, struct ap_error *err)
{
	for (uint32_t i = 0; i < count; i++) {
		const char *const *need = loaded[i].role->needs;

		for (; need != NULL && *need != NULL; need++) {
			if (find_offer(loaded, count, *need) == count)
				return ap_error_set(err, -EINVAL,
				    "role %s needs the service '%s', which no loaded role offers; add its role.",
				    loaded[i].role->name, *need);
		}
	}
	return 0;
}

int
ap_role_order(struct ap_loaded *loaded, uint32_t count, struct ap_error *err)
{
	int rc = check_needs(loaded, count, err);

	for (uint32_t placed = 0; rc == 0 && placed < count; placed++) {
		uint32_t next = placed;

		while (next < count && !is_satisfied(loaded, placed, loaded[next].role))
			next++;
		if (next == count)
			return ap_error_set(err, -ELOOP,
			    "role %s needs, directly or through others, a service of a role that needs it; one of them "
			    "must go.",
			    loaded[placed].role->name);
		if (next != placed) {
			struct ap_loaded moved = loaded[next];

			memmove(&loaded[placed + 1], &loaded[placed], (next - placed) * sizeof(*loaded));
			loaded[placed] = moved;
		}
	}
	return rc;
}
