/*
 * delta_client.c -- the client's half of the delta protocol: what is held of each type, first requests, ACK and NACK.
 *
 * Holds names and versions only; the resources themselves are the subscriber's.  A resource that the subscriber refused is
 * not remembered, so that the server is not told that we hold what we do not hold.  Pure; one thread (the main loop).
 */
#include "xds/delta.h"

#include <string.h>

#include "base/mem.h"
#include "xds/pb.h"

struct client_type {
	struct ap_xds_subscription sub;
	struct ap_map held; /* name -> version, text of our own */
	bool answered;      /* once in the life of this process */
};

struct ap_delta_client {
	struct client_type *types;
	size_t count;
	char *node_id;
	struct {
		char *name, *value;
	} *metadata;
	size_t metadata_count;
};

struct ap_delta_client *
ap_delta_client_new(const struct ap_xds_subscription *subscriptions, size_t count, const char *node_id)
{
	struct ap_delta_client *c = ap_new(struct ap_delta_client);
	c->types = ap_alloc_array(count, sizeof(struct client_type));
	c->count = count;
	for (size_t i = 0; i < count; i++)
		c->types[i].sub = subscriptions[i];
	c->node_id = ap_strdup(node_id);
	return c;
}

static void
metadata_clear(struct ap_delta_client *c)
{
	for (size_t i = 0; i < c->metadata_count; i++) {
		ap_free(&c->metadata[i].name);
		ap_free(&c->metadata[i].value);
	}
	ap_free(&c->metadata);
	c->metadata_count = 0;
}

void
ap_delta_client_free(struct ap_delta_client **c)
{
	if (*c == NULL)
		return;
	for (size_t i = 0; i < (*c)->count; i++)
		ap_map_done(&(*c)->types[i].held, ap_mem_free);
	metadata_clear(*c);
	ap_free(&(*c)->types);
	ap_free(&(*c)->node_id);
	ap_free(c);
}

void
ap_delta_client_set_metadata(struct ap_delta_client *c, const struct ap_doc *metadata)
{
	metadata_clear(c);
	size_t most = ap_doc_is(metadata, AP_DOC_MAP) ? metadata->count : 0;
	c->metadata = ap_alloc_array(most, sizeof(*c->metadata));
	for (const struct ap_doc *m = most == 0 ? NULL : metadata->first; m != NULL; m = m->next) {
		if (m->type != AP_DOC_STRING)
			continue;
		c->metadata[c->metadata_count].name = ap_strndup(m->key.ptr, m->key.len);
		c->metadata[c->metadata_count++].value = ap_strndup(m->string.ptr, m->string.len);
	}
}

/* --- Requests ---------------------------------------------------------------------------------------------------- */

/* The node with its metadata, built of three parallel arrays that the caller frees. */
struct node_parts {
	Envoy__Service__Discovery__V3__Node node;
	Google__Protobuf__Struct metadata;
	Google__Protobuf__Struct__FieldsEntry *entries, **list;
	Google__Protobuf__Value *values;
};

static void
node_build(const struct ap_delta_client *c, struct node_parts *p)
{
	size_t n = c->metadata_count;
	p->entries = ap_alloc_array(n, sizeof(*p->entries));
	p->list = ap_alloc_array(n, sizeof(*p->list));
	p->values = ap_alloc_array(n, sizeof(*p->values));
	for (size_t i = 0; i < n; i++) {
		google__protobuf__value__init(&p->values[i]);
		p->values[i].kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE;
		p->values[i].string_value = c->metadata[i].value;
		google__protobuf__struct__fields_entry__init(&p->entries[i]);
		p->entries[i].key = c->metadata[i].name;
		p->entries[i].value = &p->values[i];
		p->list[i] = &p->entries[i];
	}
	google__protobuf__struct__init(&p->metadata);
	p->metadata.fields = p->list;
	p->metadata.n_fields = n;
	envoy__service__discovery__v3__node__init(&p->node);
	p->node.id = c->node_id;
	p->node.metadata = &p->metadata;
}

static void
node_done(struct node_parts *p)
{
	ap_free(&p->entries);
	ap_free(&p->list);
	ap_free(&p->values);
}

void
ap_delta_client_first(struct ap_delta_client *c, size_t i, struct ap_buf *out)
{
	struct client_type *t = &c->types[i];
	ap_delta_request m;
	envoy__service__discovery__v3__delta_discovery_request__init(&m);
	struct node_parts p;
	node_build(c, &p);
	m.node = &p.node;
	m.type_url = (char *)(uintptr_t)t->sub.type_url;
	Envoy__Service__Discovery__V3__DeltaDiscoveryRequest__InitialResourceVersionsEntry *held =
	    ap_alloc_array(t->held.count, sizeof(*held));
	m.initial_resource_versions = ap_alloc_array(t->held.count, sizeof(*m.initial_resource_versions));
	struct ap_map_entry *e;
	for (size_t k = 0; (e = ap_map_next(&t->held, &k)) != NULL;) {
		size_t at = m.n_initial_resource_versions++;
		envoy__service__discovery__v3__delta_discovery_request__initial_resource_versions_entry__init(&held[at]);
		held[at].key = (char *)(uintptr_t)e->key.ptr;
		held[at].value = e->value;
		m.initial_resource_versions[at] = &held[at];
	}
	ap_pb_pack(&m, out);
	ap_free(&held);
	ap_free(&m.initial_resource_versions);
	node_done(&p);
}

/* --- Responses --------------------------------------------------------------------------------------------------- */

/* Does the list "<name>: <reason>; <name>: <reason>; " hold this name? */
static bool
is_rejected(struct ap_slice reject, struct ap_slice name)
{
	while (reject.len > 0) {
		if (ap_slice_starts(reject, name) &&
		    ap_slice_starts(ap_slice_from(reject, name.len), AP_S(": ")))
			return true;
		size_t end = ap_slice_search(reject, AP_S("; "));
		if (end == SIZE_MAX)
			return false;
		reject = ap_slice_from(reject, end + 2);
	}
	return false;
}

static void
remember(struct client_type *t, const struct ap_xds_update *u, struct ap_slice reject)
{
	for (size_t i = 0; i < u->count; i++) {
		const struct ap_xds_resource *r = &u->resources[i];
		if (reject.len > 0 && is_rejected(reject, r->name))
			continue;
		char *old = ap_map_put(&t->held, r->name, ap_strndup(r->version.ptr, r->version.len));
		ap_free(&old);
	}
	for (size_t i = 0; i < u->removed_count; i++) {
		char *old = ap_map_remove(&t->held, u->removed[i]);
		ap_free(&old);
	}
}

static void
apply(struct client_type *t, const ap_delta_response *m, struct ap_buf *reject)
{
	struct ap_xds_resource *resources = ap_alloc_array(m->n_resources, sizeof(struct ap_xds_resource));
	struct ap_slice *removed = ap_alloc_array(m->n_removed_resources, sizeof(struct ap_slice));
	struct ap_xds_update u = { .type_url = t->sub.type_url, .resources = resources, .removed = removed,
		.removed_count = m->n_removed_resources, .first = !t->answered };
	for (size_t i = 0; i < m->n_resources; i++) {
		const Envoy__Service__Discovery__V3__Resource *r = m->resources[i];
		if (r->resource == NULL) {
			ap_buf_printf(reject, "%s: the resource is empty; ", r->name);
			continue;
		}
		resources[u.count++] = (struct ap_xds_resource){ .name = ap_slice_of(r->name),
			.version = ap_slice_of(r->version),
			.body = ap_slice((const char *)r->resource->value.data, r->resource->value.len) };
	}
	for (size_t i = 0; i < m->n_removed_resources; i++)
		removed[i] = ap_slice_of(m->removed_resources[i]);
	t->sub.apply(t->sub.arg, &u, reject);
	t->answered = true;
	remember(t, &u, ap_buf_slice(reject));
	ap_free(&resources);
	ap_free(&removed);
}

static void
answer_pack(const ap_delta_response *m, struct ap_slice reject, struct ap_buf *out)
{
	ap_delta_request a;
	envoy__service__discovery__v3__delta_discovery_request__init(&a);
	a.type_url = m->type_url;
	a.response_nonce = m->nonce;
	Google__Rpc__Status status;
	google__rpc__status__init(&status);
	if (reject.len > 0) {
		status.code = 3; /* INVALID_ARGUMENT */
		status.message = (char *)(uintptr_t)reject.ptr;
		a.error_detail = &status;
	}
	ap_pb_pack(&a, out);
}

#define REJECT_MAX ((size_t)64 * 1024)

bool
ap_delta_client_take(struct ap_delta_client *c, struct ap_slice bytes, struct ap_buf *answer, struct ap_buf *out_reject)
{
	ap_delta_response *m =
	    ap_pb_unpack(&envoy__service__discovery__v3__delta_discovery_response__descriptor, bytes);
	if (m == NULL)
		return false;
	struct ap_buf reject;
	ap_buf_init(&reject, REJECT_MAX);
	for (size_t i = 0; i < c->count; i++) /* an unknown type is acknowledged, as ztunnel does */
		if (strcmp(c->types[i].sub.type_url, m->type_url) == 0)
			apply(&c->types[i], m, &reject);
	answer_pack(m, ap_buf_slice(&reject), answer);
	if (out_reject != NULL)
		ap_buf_add_slice(out_reject, ap_buf_slice(&reject));
	ap_buf_done(&reject);
	protobuf_c_message_free_unpacked(&m->base, NULL);
	return true;
}

bool
ap_delta_client_is_synced(const struct ap_delta_client *c)
{
	for (size_t i = 0; i < c->count; i++)
		if (!c->types[i].answered)
			return false;
	return true;
}

size_t
ap_delta_client_held(const struct ap_delta_client *c, size_t i)
{
	return c->types[i].held.count;
}
