/*
 * tls_out.c -- send buffers of TLS streams: large, few, reused while they are warm in the cache.  One pool per thread, which
 * goes with the thread.
 */
#include <pthread.h>

#include "base/check.h"
#include "base/mem.h"
#include "net/tls_priv.h"

#define OUT_KEPT 16

struct out_pool {
	struct ap_tls_out *idle;
	unsigned count;
};

static pthread_once_t pool_once = PTHREAD_ONCE_INIT;
static pthread_key_t pool_key;
static _Thread_local struct out_pool *pool;

static void
pool_free(void *ptr)
{
	struct out_pool *p = ptr;

	while (p->idle != NULL) {
		struct ap_tls_out *out = p->idle;

		p->idle = out->next;
		ap_free(&out);
	}
	ap_free(&p);
	pool = NULL;
}

static void
pool_key_make(void)
{
	AP_CHECK(pthread_key_create(&pool_key, pool_free) == 0);
}

struct ap_tls_out *
ap_tls_out_take(void)
{
	struct ap_tls_out *out;

	if (AP_LIKELY(pool != NULL) && pool->idle != NULL) {
		out = pool->idle;
		pool->idle = out->next;
		pool->count--;
		return out;
	}
	return ap_realloc_array(NULL, 1, sizeof(*out)); /* not zeroed */
}

void
ap_tls_out_give(struct ap_tls_out *out)
{
	if (AP_UNLIKELY(pool == NULL)) {
		AP_CHECK(pthread_once(&pool_once, pool_key_make) == 0);
		pool = ap_new(struct out_pool);
		(void)pthread_setspecific(pool_key, pool);
	}
	if (pool->count >= OUT_KEPT) {
		ap_free(&out);
		return;
	}
	out->next = pool->idle;
	pool->idle = out;
	pool->count++;
}
