/* wp_table.c -- one thread's hosts, policies and scripts, and the bindings made of them.  One thread each. */
#include "waypoint/wp_table.h"

#include "base/mem.h"

static void
host_free(void *p)
{
	struct wp_host *h = p;

	wp_host_unref(&h);
}

static void
policy_free(void *p)
{
	struct wp_policy *policy = p;

	wp_policy_unref(&policy);
}

static void
script_free(void *p)
{
	struct ap_lua_script *s = p;

	ap_lua_script_unref(&s);
}

static void
binding_free(void *p)
{
	struct wp_binding *b = p;

	wp_binding_unref(&b);
}

void
wp_table_done(struct wp_table *t)
{
	ap_map_done(&t->bindings, binding_free);
	ap_map_done(&t->names, NULL);
	ap_map_done(&t->hosts, host_free);
	ap_map_done(&t->policies, policy_free);
	ap_map_done(&t->scripts, script_free);
}

struct wp_host *
wp_table_host(const struct wp_table *t, struct ap_slice key)
{
	return ap_map_find(&t->hosts, key);
}

struct wp_host *
wp_table_named(const struct wp_table *t, struct ap_slice hostname)
{
	return ap_map_find(&t->names, hostname);
}

void
wp_binding_unref(struct wp_binding **bp)
{
	struct wp_binding *b = *bp;

	*bp = NULL;
	if (b == NULL || --b->refs > 0)
		return;
	wp_host_unref(&b->host);
	for (uint32_t i = 0; i < b->policy_count; i++)
		wp_policy_unref(&b->policies[i]);
	for (uint32_t i = 0; i < b->script_count; i++)
		ap_lua_script_unref(&b->scripts[i]);
	ap_free(&b->policies);
	ap_free(&b->scripts);
	ap_free(&b);
}

static struct wp_binding *
binding_new(struct wp_table *t, struct wp_host *h)
{
	struct wp_binding *b = ap_new(struct wp_binding);

	b->refs = 1;
	b->generation = t->generation;
	b->host = wp_host_ref(h);
	b->policy_count = h->policy_count;
	b->script_count = h->lua_policy_count;
	b->policies = ap_alloc_array(h->policy_count + 1, sizeof(*b->policies));
	b->scripts = ap_alloc_array(h->lua_policy_count + 1, sizeof(*b->scripts));
	for (uint32_t i = 0; i < h->policy_count; i++) {
		struct wp_policy *p = ap_map_find(&t->policies, h->policies[i]);

		b->policies[i] = p == NULL ? NULL : wp_policy_ref(p);
	}
	for (uint32_t i = 0; i < h->lua_policy_count; i++) {
		struct ap_lua_script *s = ap_map_find(&t->scripts, h->lua_policies[i]);

		b->scripts[i] = s == NULL ? NULL : ap_lua_script_ref(s);
	}
	return b;
}

struct wp_binding *
wp_table_bind(struct wp_table *t, struct ap_slice key)
{
	struct wp_binding *b = ap_map_find(&t->bindings, key);
	struct wp_host *h;

	if (b == NULL || b->generation != t->generation) {
		h = ap_map_find(&t->hosts, key);
		if (b != NULL) {
			ap_map_remove(&t->bindings, key);
			wp_binding_unref(&b);
		}
		if (h == NULL)
			return NULL;
		b = binding_new(t, h);
		ap_map_put(&t->bindings, h->key, b);
	}
	b->refs++;
	return b;
}
