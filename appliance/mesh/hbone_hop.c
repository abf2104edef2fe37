/*
 * hbone_hop.c -- hops: what tunnels with one key share, found by that key.  The key has everything that must be equal for two
 * tunnels to run on one connection.  The pool's thread.
 */
#include "mesh/hbone_priv.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/mem.h"

#define KEY_MAX ((size_t)256 * 1024)

static int
compare_slices(const void *a, const void *b)
{
	return ap_slice_cmp(*(const struct ap_slice *)a, *(const struct ap_slice *)b);
}

static void
add_part(struct ap_buf *key, struct ap_slice s)
{
	ap_buf_add_u32(key, (uint32_t)s.len);
	ap_buf_add_slice(key, s);
}

/* Everything that must be equal for two tunnels to share a connection. Identities are a set. */
static void
make_key(const struct ap_hbone_target *t, struct ap_buf *key)
{
	struct ap_slice few[8], *ids = few;
	char hop[AP_ADDR_TEXT];

	if (t->server_identity_count > AP_COUNTOF(few))
		ids = ap_alloc_array(t->server_identity_count, sizeof(*ids));
	if (t->server_identity_count > 0)
		memcpy(ids, t->server_identities, t->server_identity_count * sizeof(*ids));
	qsort(ids, t->server_identity_count, sizeof(*ids), compare_slices);
	ap_buf_add_u32(key, t->mark);
	add_part(key, ap_slice((const char *)t->source_ip.bytes, t->source_ip.len));
	add_part(key, ap_slice_of(ap_addr_format(&t->hop, hop, sizeof(hop))));
	add_part(key, t->source_identity);
	add_part(key, t->sni);
	for (size_t i = 0; i < t->server_identity_count; i++)
		add_part(key, ids[i]);
	if (ids != few)
		ap_free(&ids);
}

static struct hop *
hop_new(struct ap_hbone_pool *pool, const struct ap_hbone_target *t)
{
	struct hop *hop = ap_new(struct hop);

	hop->pool = pool;
	hop->addr = t->hop;
	hop->mark = t->mark;
	hop->tls = ap_tls_ref(t->tls);
	hop->source_identity = ap_strndup(t->source_identity.ptr, t->source_identity.len);
	if (t->sni.len > 0)
		hop->sni = ap_strndup(t->sni.ptr, t->sni.len);
	hop->identities = ap_alloc_array(t->server_identity_count + 1, sizeof(*hop->identities));
	for (size_t i = 0; i < t->server_identity_count; i++)
		hop->identities[i] = ap_strndup(t->server_identities[i].ptr, t->server_identities[i].len);
	ap_list_init(&hop->conns);
	ap_list_init(&hop->waiting);
	return hop;
}

static void
hop_free(struct hop *hop)
{
	for (char **id = hop->identities; *id != NULL; id++)
		ap_free(id);
	ap_free(&hop->identities);
	ap_free(&hop->source_identity);
	ap_free(&hop->sni);
	ap_mem_free((void *)(uintptr_t)hop->key.ptr); /* ours */
	ap_tls_unref(&hop->tls);
	ap_free(&hop);
}

void
ap_hbone_hop_unref(struct hop *hop)
{
	AP_CHECK(hop->refs > 0);
	if (--hop->refs > 0 || !ap_list_is_empty(&hop->waiting))
		return;
	if (hop->key.len > 0)
		(void)ap_map_remove(&hop->pool->hops, hop->key);
	hop_free(hop);
}

struct hop *
ap_hbone_hop_get(struct ap_hbone_pool *pool, const struct ap_hbone_target *t)
{
	struct ap_buf key;
	struct hop *hop;

	if (t->over != NULL) {
		hop = hop_new(pool, t);
		hop->refs++;
		return hop;
	}
	ap_buf_init(&key, KEY_MAX);
	make_key(t, &key);
	hop = ap_map_find(&pool->hops, ap_buf_slice(&key));
	if (hop == NULL) {
		hop = hop_new(pool, t);
		(void)ap_map_put(&pool->hops, ap_buf_slice(&key), hop);
		hop->key = ap_slice(ap_strndup(key.ptr, key.len), key.len);
	}
	ap_buf_done(&key);
	hop->refs++;
	return hop;
}
