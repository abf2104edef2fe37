/*
 * object.c -- workloads and services as values: counting, and the questions that one object can answer about itself.  Decoding
 * is in object_decode.c.  Any thread: objects never change once they are made.
 */
#include "mesh/object.h"

#include <ctype.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "mesh/object_priv.h"
#include "net/x509.h"

struct ap_mesh_workload *
ap_mesh_workload_ref(struct ap_mesh_workload *w)
{
	if (w != NULL)
		ap_refs_add(&w->refs);
	return w;
}

void
ap_mesh_workload_unref(struct ap_mesh_workload **w)
{
	struct ap_mesh_workload *old = *w;

	*w = NULL;
	if (old == NULL)
		return;
	AP_IS(old, AP_MESH_WORKLOAD_MAGIC);
	if (ap_refs_drop(&old->refs)) {
		old->magic = 0;
		ap_free(&old);
	}
}

struct ap_mesh_service *
ap_mesh_service_ref(struct ap_mesh_service *s)
{
	if (s != NULL)
		ap_refs_add(&s->refs);
	return s;
}

void
ap_mesh_service_unref(struct ap_mesh_service **s)
{
	struct ap_mesh_service *old = *s;

	*s = NULL;
	if (old == NULL)
		return;
	AP_IS(old, AP_MESH_SERVICE_MAGIC);
	if (ap_refs_drop(&old->refs)) {
		old->magic = 0;
		ap_free(&old);
	}
}

struct ap_slice
ap_mesh_workload_label(const struct ap_mesh_workload *w, struct ap_slice name)
{
	uint32_t i;

	for (i = 0; i < w->label_count; i++) {
		if (ap_slice_eq(w->labels[i].name, name))
			return w->labels[i].value;
	}
	return AP_SLICE_NONE;
}

static const struct ap_mesh_port *
find_port(const struct ap_mesh_port *ports, uint32_t count, uint16_t service_port)
{
	uint32_t i;

	for (i = 0; i < count; i++) {
		if (ports[i].service_port == service_port)
			return &ports[i];
	}
	return NULL;
}

const struct ap_mesh_port *
ap_mesh_service_port(const struct ap_mesh_service *s, uint16_t service_port)
{
	return find_port(s->ports, s->port_count, service_port);
}

const struct ap_mesh_membership *
ap_mesh_workload_membership(const struct ap_mesh_workload *w, struct ap_slice service_key)
{
	uint32_t i;

	for (i = 0; i < w->membership_count; i++) {
		if (ap_slice_eq(w->memberships[i].service, service_key))
			return &w->memberships[i];
	}
	return NULL;
}

uint16_t
ap_mesh_target_port(const struct ap_mesh_workload *w, const struct ap_mesh_service *s, uint16_t service_port)
{
	const struct ap_mesh_membership *m = ap_mesh_workload_membership(w, s->key);
	const struct ap_mesh_port *p;

	if (m != NULL) {
		p = find_port(m->ports, m->port_count, service_port);
		if (p != NULL && p->target_port != 0)
			return p->target_port;
	}
	p = ap_mesh_service_port(s, service_port);
	if (p != NULL && p->target_port != 0)
		return p->target_port;
	if (w->has_app_tunnel && w->app_tunnel_port != 0)
		return service_port;
	return 0;
}

/* Append in lower case; false when it does not fit. */
static bool
append_lower(char *out, size_t *len, struct ap_slice s)
{
	size_t i;

	if (*len + s.len >= AP_MESH_SNI_MAX)
		return false;
	for (i = 0; i < s.len; i++)
		out[(*len)++] = (char)tolower((unsigned char)s.ptr[i]);
	out[*len] = '\0';
	return true;
}

const char *
ap_mesh_sni(struct ap_slice identity, char out[AP_MESH_SNI_MAX])
{
	struct ap_slice td, ns, sa;
	size_t len = 0;

	out[0] = '\0';
	if (!ap_spiffe_parse(identity, &td, &ns, &sa))
		return out;
	if (!append_lower(out, &len, sa) || !append_lower(out, &len, AP_S(".")) || !append_lower(out, &len, ns) ||
	    !append_lower(out, &len, AP_S(".")) || !append_lower(out, &len, td) ||
	    !append_lower(out, &len, AP_S(".ambit")))
		out[0] = '\0';
	return out;
}
