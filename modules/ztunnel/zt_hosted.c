/* zt_hosted.c -- the Appliance's workloads as the data path needs them. Made on the main thread, then immutable. */
#include "ztunnel/zt_hosted.h"

#include <errno.h>
#include <pwd.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"

AP_LOG_MODULE(zt_hosted);

static int
find_uid(struct ap_slice user, uid_t *out)
{
	uint64_t number;
	struct passwd *pw;
	char *name;

	if (ap_text_to_u64(user, UINT32_MAX - 1, &number) == 0) {
		*out = (uid_t)number;
		return 0;
	}
	name = ap_strndup(user.ptr, user.len);
	pw = getpwnam(name);
	ap_free(&name);
	if (pw == NULL)
		return -ENOENT;
	*out = pw->pw_uid;
	return 0;
}

static int
fill(struct zt_hosted_workload *w, const struct ap_appliance_workload *from, struct ap_slice trust_domain,
    struct ap_error *err)
{
	w->name = from->name;
	w->namespace_ = from->namespace_;
	w->account = from->service_account;
	w->spiffe = ap_asprintf("spiffe://%.*s/ns/%.*s/sa/%.*s", AP_FMT(trust_domain), AP_FMT(w->namespace_),
	    AP_FMT(w->account));
	w->unit = from->systemd_unit;
	w->cgroup = from->cgroup;
	w->executable = from->executable;
	w->ports = from->ports;
	w->port_count = from->port_count;
	if (from->user.len > 0) {
		if (find_uid(from->user, &w->uid) != 0)
			return ap_error_set_at(err, -ENOENT, from->at, "workload %.*s: there is no user %.*s",
			    AP_FMT(w->name), AP_FMT(from->user));
		w->has_uid = true;
	}
	if (from->address.len > 0) {
		if (ap_ip_parse(from->address, &w->ip) != 0)
			return ap_error_set_at(err, -EINVAL, from->at, "workload %.*s: %.*s is not an address",
			    AP_FMT(w->name), AP_FMT(from->address));
		w->has_ip = true;
	}
	if (from->network_namespace.len > 0) {
		w->is_elsewhere = true;
		LOG_WARN(NULL, "workload %.*s: traffic of another network namespace is not captured yet", AP_FMT(w->name));
	}
	w->has_selector =
	    w->unit.len > 0 || w->cgroup.len > 0 || w->executable.len > 0 || w->has_uid || w->has_ip || w->is_elsewhere;
	return 0;
}

struct zt_hosted *
zt_hosted_new(struct ap_config *config, struct ap_error *err)
{
	const struct ap_appliance *a = ap_config_appliance(config);
	struct zt_hosted *h = ap_new(struct zt_hosted);
	uint32_t i;

	ap_refs_init(&h->refs);
	h->config = ap_config_ref(config);
	h->items = ap_alloc_array(a->workload_count, sizeof(*h->items));
	for (i = 0; i < a->workload_count; i++) {
		h->count++;
		if (fill(&h->items[i], &a->workloads[i], a->trust_domain, err) != 0) {
			zt_hosted_unref(&h);
			return NULL;
		}
		h->needs_cgroup = h->needs_cgroup || h->items[i].unit.len > 0 || h->items[i].cgroup.len > 0;
		h->needs_executable = h->needs_executable || h->items[i].executable.len > 0;
	}
	return h;
}

struct zt_hosted *
zt_hosted_ref(struct zt_hosted *h)
{
	ap_refs_add(&h->refs);
	return h;
}

void
zt_hosted_unref(struct zt_hosted **h)
{
	struct zt_hosted *old = *h;
	uint32_t i;

	*h = NULL;
	if (old == NULL || !ap_refs_drop(&old->refs))
		return;
	for (i = 0; i < old->count; i++)
		ap_free(&old->items[i].spiffe);
	ap_free(&old->items);
	ap_config_unref(&old->config);
	ap_free(&old);
}

const struct zt_hosted_workload *
zt_hosted_find(const struct zt_hosted *h, struct ap_slice spiffe)
{
	uint32_t i;

	for (i = 0; i < h->count; i++) {
		if (ap_slice_eq_text(spiffe, h->items[i].spiffe))
			return &h->items[i];
	}
	return NULL;
}

const struct zt_hosted_workload *
zt_hosted_by_port(const struct zt_hosted *h, uint16_t port)
{
	uint32_t i, j;

	for (i = 0; i < h->count; i++) {
		for (j = 0; j < h->items[i].port_count; j++) {
			if (h->items[i].ports[j].port == port)
				return &h->items[i];
		}
	}
	return NULL;
}
