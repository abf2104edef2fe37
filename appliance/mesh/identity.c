/*
 * identity.c -- the store of certificates: who is wanted, when to ask and when to ask again.  Main loop only; keys are generated and
 * contexts built on job threads, because a P-256 key and two SSL_CTX take milliseconds that the loop does not have.
 *
 * Order: the host's own certificate first (by the join token, later by itself), then all others with it.
 */
#include "mesh/identity.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rand.h"
#include "event/jobs.h"
#include "event/worker.h"
#include "mesh/identity_priv.h"
#include "net/tls.h"
#include "net/x509.h"

AP_LOG_MODULE(mesh_identity);

#define LIFETIME_S (24 * 3600)
#define BACKOFF_MIN_MS 500U
#define BACKOFF_MAX_MS 150000U
#define TIMER_MAX_MS ((uint64_t)1000 * 3600 * 24)

enum task_kind { TASK_KEY, TASK_BUILD };

/* Work for a job thread, with copies of all it needs: the entry may be gone when it is done. */
struct identity_task {
	struct ap_job job;
	enum task_kind kind;
	struct identity_entry *entry; /* main thread; NULL: given up */
	char *spiffe, *folder;
	uint64_t generation;
	struct ap_buf key, chain, roots; /* BUILD: what came */
	struct identity_made made;
};

static void begin(struct identity_entry *e);
static struct ap_tls *control_plane_tls(void *arg);

static void
free_task(struct identity_task *t)
{
	ap_buf_wipe(&t->key);
	ap_buf_done(&t->key);
	ap_buf_done(&t->chain);
	ap_buf_done(&t->roots);
	ap_buf_wipe(&t->made.key);
	ap_buf_done(&t->made.key);
	ap_buf_done(&t->made.csr);
	ap_identity_unref(&t->made.id);
	ap_free(&t->spiffe);
	ap_free(&t->folder);
	ap_free(&t);
}

static void
on_job(struct ap_job *job)
{
	struct identity_task *t = AP_CONTAINER_OF(job, struct identity_task, job);
	struct identity_made *m = &t->made;
	struct ap_error err;

	if (t->kind == TASK_KEY) {
		if (ap_key_generate(&m->key, &m->err) == 0)
			(void)ap_csr_make(ap_buf_slice(&m->key), ap_slice_of(t->spiffe), &m->csr, &m->err);
		return;
	}
	m->id = identity_make(ap_slice_of(t->spiffe), ap_buf_slice(&t->key), ap_buf_slice(&t->chain),
	    ap_buf_slice(&t->roots), t->generation, &m->err);
	/* A full disk costs the next start its head start, nothing more. */
	if (m->id != NULL && identity_save(t->folder, ap_slice_of(t->spiffe), ap_buf_slice(&t->key),
	        ap_buf_slice(&t->chain), ap_buf_slice(&t->roots), &err) != 0)
		LOG_WARN(NULL, "certificate of %s is not kept: %s", t->spiffe, err.text);
}

static struct identity_task *
start_task(struct identity_entry *e, enum task_kind kind, void (*done)(struct ap_job *job))
{
	struct identity_task *t = ap_new(struct identity_task);

	t->kind = kind;
	t->entry = e;
	t->spiffe = ap_strdup(e->spiffe);
	t->folder = ap_strdup(e->store->folder);
	t->generation = ++e->store->generation;
	ap_buf_init(&t->key, IDENTITY_PEM_MAX);
	ap_buf_init(&t->chain, IDENTITY_PEM_MAX);
	ap_buf_init(&t->roots, IDENTITY_PEM_MAX);
	ap_buf_init(&t->made.key, IDENTITY_PEM_MAX);
	ap_buf_init(&t->made.csr, IDENTITY_PEM_MAX);
	t->job.work = on_job;
	t->job.done = done;
	t->job.reply = e->store->set.main->mailbox;
	e->task = t;
	return t;
}

/* Scheduling. */

static uint64_t
backoff_ms(unsigned failures)
{
	uint64_t ms = BACKOFF_MIN_MS;

	while (failures-- > 1 && ms < BACKOFF_MAX_MS)
		ms *= 2;
	ms = AP_MIN(ms, BACKOFF_MAX_MS);
	return ms - ms / 10 + ap_rand_below((uint32_t)(ms / 5) + 1);
}

/* At half-life, a little earlier or later so that a fleet does not ask as one. */
static uint64_t
renewal_ms(const struct ap_identity *id)
{
	int64_t now = ap_clock_wall_ms(), life = (id->not_after - id->not_before) * 1000;
	int64_t at = id->not_before * 1000 + life / 2;
	int64_t jitter = life / 20;

	if (jitter > 0)
		at += (int64_t)ap_rand_below((uint32_t)AP_MIN(jitter, (int64_t)UINT32_MAX)) - jitter / 2;
	return at <= now ? 100 : AP_MIN((uint64_t)(at - now), TIMER_MAX_MS);
}

static void
on_timer(struct ap_timer *t, void *arg)
{
	struct identity_entry *e = arg;

	(void)t;
	/* A timer that was cut at TIMER_MAX_MS is not due yet. */
	if (e->failures == 0 && e->current != NULL && renewal_ms(e->current) > 60000 &&
	    (e->current->not_after - e->current->not_before) * 1000 > (int64_t)TIMER_MAX_MS * 2) {
		ap_timer_start(&e->timer, renewal_ms(e->current));
		return;
	}
	begin(e);
}

static void
tell(struct identity_entry *e)
{
	if (e->store->set.changed != NULL)
		e->store->set.changed(e->store->set.arg, e->current);
}

static void
on_expiry(struct ap_timer *t, void *arg)
{
	struct identity_entry *e = arg;
	int64_t left = e->current == NULL ? 0 : e->current->not_after * 1000 - ap_clock_wall_ms();

	if (left > 0) {
		ap_timer_start(t, AP_MIN((uint64_t)left, TIMER_MAX_MS));
		return;
	}
	LOG_ERROR(NULL, "certificate of %s expired and could not be renewed: %s", e->spiffe,
	    e->error[0] == '\0' ? "no answer" : e->error);
	if (e->is_host) /* the token is the way back */
		ap_tls_unref(&e->store->tls);
	tell(e);
}

static void
failed(struct identity_entry *e, const struct ap_error *err)
{
	ap_buf_wipe(&e->next_key);
	ap_buf_clear(&e->next_key);
	e->failures++;
	(void)snprintf(e->error, sizeof(e->error), "%s", err->text);
	LOG_WARN_LIMIT(NULL, 5, "no certificate for %s yet (try %u): %s", e->spiffe, e->failures, err->text);
	ap_timer_start(&e->timer, backoff_ms(e->failures));
}

static void
wake_waiting(struct ap_identity_store *s)
{
	struct ap_map_entry *m;
	size_t i = 0;

	while ((m = ap_map_next(&s->entries, &i)) != NULL) {
		struct identity_entry *e = m->value;

		if (e->is_waiting) {
			e->is_waiting = false;
			begin(e);
		}
	}
}

static void
install(struct identity_entry *e, struct ap_identity *id)
{
	ap_identity_unref(&e->current);
	e->current = id;
	e->failures = 0;
	e->error[0] = '\0';
	ap_timer_start(&e->timer, renewal_ms(id));
	ap_timer_start(&e->expiry,
	    (uint64_t)AP_MAX((int64_t)0, AP_MIN(id->not_after * 1000 - ap_clock_wall_ms(), (int64_t)TIMER_MAX_MS)));
	identity_publish(e->store, e->spiffe, id);
	LOG_INFO(NULL, "certificate of %s is valid until %lld", e->spiffe, (long long)id->not_after);
	if (e->is_host) {
		ap_tls_unref(&e->store->tls);
		if (e->store->ca != NULL)
			ap_ca_client_renew(e->store->ca);
		wake_waiting(e->store);
	}
	tell(e);
}

/* The three steps: key, answer, contexts. */

static void
on_built(struct ap_job *job)
{
	struct identity_task *t = AP_CONTAINER_OF(job, struct identity_task, job);
	struct identity_entry *e = t->entry;
	struct ap_identity *id = t->made.id;

	if (e != NULL) {
		e->task = NULL;
		t->made.id = NULL;
		if (id == NULL) {
			failed(e, &t->made.err);
		} else {
			if (e->is_host) {
				ap_buf_wipe(&e->key);
				ap_buf_clear(&e->key);
				ap_buf_add_slice(&e->key, ap_buf_slice(&e->next_key));
			}
			ap_buf_wipe(&e->next_key);
			ap_buf_clear(&e->next_key);
			install(e, id);
		}
	}
	free_task(t);
}

static void
on_answer(struct ap_slice chain_pem, struct ap_slice roots_pem, const struct ap_error *err, void *arg)
{
	struct identity_entry *e = arg;
	struct identity_task *t;

	e->call = NULL;
	if (err != NULL) {
		failed(e, err);
		return;
	}
	t = start_task(e, TASK_BUILD, on_built);
	ap_buf_add_slice(&t->key, ap_buf_slice(&e->next_key));
	ap_buf_add_slice(&t->chain, chain_pem);
	ap_buf_add_slice(&t->roots, roots_pem);
	ap_jobs_submit(e->store->set.jobs, &t->job);
}

static void
on_key(struct ap_job *job)
{
	struct identity_task *t = AP_CONTAINER_OF(job, struct identity_task, job);
	struct identity_entry *e = t->entry;
	struct ap_identity_store *s;

	if (e != NULL) {
		s = e->store;
		e->task = NULL;
		if (t->made.err.code != 0) {
			failed(e, &t->made.err);
		} else {
			ap_buf_clear(&e->next_key);
			ap_buf_add_slice(&e->next_key, ap_buf_slice(&t->made.key));
			e->call = ap_ca_request(s->ca, ap_buf_slice(&t->made.csr),
			    s->set.lifetime_s == 0 ? LIFETIME_S : s->set.lifetime_s,
			    e->is_host ? AP_SLICE_NONE : ap_slice_of(e->spiffe), on_answer, e);
		}
	}
	free_task(t);
}

static void
begin(struct identity_entry *e)
{
	struct ap_error err;

	if (e->task != NULL || e->call != NULL)
		return;
	if (e->store->ca == NULL) {
		(void)ap_error_set(&err, -ENOENT, "no control plane is configured");
		failed(e, &err);
		return;
	}
	if (!e->is_host && ap_identity_find(e->store, ap_slice_of(e->store->host->spiffe)) == NULL) {
		e->is_waiting = true;
		return;
	}
	ap_jobs_submit(e->store->set.jobs, &start_task(e, TASK_KEY, on_key)->job);
}

/* Wanting. */

static struct identity_entry *
entry_new(struct ap_identity_store *s, struct ap_slice spiffe, bool is_host)
{
	struct identity_entry *e = ap_new(struct identity_entry);
	struct ap_identity *id = NULL;
	struct ap_error err;
	int r;

	e->store = s;
	e->spiffe = ap_strndup(spiffe.ptr, spiffe.len);
	e->is_host = is_host;
	ap_buf_init(&e->next_key, IDENTITY_PEM_MAX);
	ap_buf_init(&e->key, IDENTITY_PEM_MAX);
	ap_timer_init(&e->timer, s->set.main->loop, on_timer, e);
	ap_timer_init(&e->expiry, s->set.main->loop, on_expiry, e);
	(void)ap_map_put(&s->entries, spiffe, e);
	if (is_host)
		s->host = e;
	r = identity_load(s->folder, spiffe, &e->key, &id, &err);
	if (r == 0) {
		if (!is_host) {
			ap_buf_wipe(&e->key);
			ap_buf_clear(&e->key);
		}
		install(e, id);
	} else {
		if (r != -ENOENT)
			LOG_WARN(NULL, "kept certificate of %s is not used: %s", e->spiffe, err.text);
		begin(e);
	}
	return e;
}

static void
entry_free(void *ptr)
{
	struct identity_entry *e = ptr;

	if (e->task != NULL)
		e->task->entry = NULL;
	ap_ca_cancel(&e->call);
	ap_timer_stop(&e->timer);
	ap_timer_stop(&e->expiry);
	ap_identity_unref(&e->current);
	ap_buf_wipe(&e->key);
	ap_buf_done(&e->key);
	ap_buf_wipe(&e->next_key);
	ap_buf_done(&e->next_key);
	ap_free(&e->spiffe);
	ap_free(&e);
}

struct ap_identity_store *
ap_identity_store_new(const struct ap_identity_settings *settings, struct ap_error *err)
{
	struct ap_identity_store *s = ap_new(struct ap_identity_store);
	struct ap_ca_settings ca = { .loop = settings->main->loop,
		.address = settings->address,
		.server_name = settings->server_name,
		.mark = settings->mark,
		.tls = control_plane_tls,
		.token = ap_identity_xds_token,
		.arg = s };
	char host[512], id[600];

	s->magic = STORE_MAGIC;
	s->set = *settings;
	s->folder = ap_asprintf("%.*s/identities", AP_FMT(settings->state_dir));
	s->ca_file = settings->ca_file.len == 0 ? NULL : ap_strndup(settings->ca_file.ptr, settings->ca_file.len);
	s->token_file =
	    settings->token_file.len == 0 ? NULL : ap_strndup(settings->token_file.ptr, settings->token_file.len);
	s->trust_domain = ap_strndup(settings->trust_domain.ptr, settings->trust_domain.len);
	ap_list_init(&s->views);
	if (ap_dir_make(s->folder, 0700, err) != 0) {
		ap_identity_store_free(&s);
		return NULL;
	}
	/* Without a control plane there is what the disk has. */
	if (settings->address.len > 0 && (s->ca = ap_ca_client_new(&ca, err)) == NULL) {
		ap_identity_store_free(&s);
		return NULL;
	}
	(void)snprintf(host, sizeof(host), "host.%.*s", AP_FMT(settings->host));
	(void)ap_identity_format(
	    ap_slice_of(s->trust_domain), AP_S("ambit-system"), ap_slice_of(host), id, sizeof(id));
	(void)entry_new(s, ap_slice_of(id), true);
	return s;
}

void
ap_identity_store_free(struct ap_identity_store **s)
{
	struct ap_identity_store *old = *s;

	*s = NULL;
	if (old == NULL)
		return;
	AP_IS(old, STORE_MAGIC);
	AP_CHECK(ap_list_is_empty(&old->views));
	ap_map_done(&old->entries, entry_free);
	ap_ca_client_free(&old->ca);
	ap_tls_unref(&old->tls);
	ap_free(&old->folder);
	ap_free(&old->ca_file);
	ap_free(&old->token_file);
	ap_free(&old->trust_domain);
	old->magic = 0;
	ap_free(&old);
}

void
ap_identity_want(struct ap_identity_store *s, struct ap_slice spiffe)
{
	AP_IS(s, STORE_MAGIC);
	if (ap_map_find(&s->entries, spiffe) == NULL)
		(void)entry_new(s, spiffe, false);
}

void
ap_identity_drop(struct ap_identity_store *s, struct ap_slice spiffe)
{
	struct identity_entry *e = ap_map_find(&s->entries, spiffe);

	if (e == NULL || e->is_host)
		return;
	(void)ap_map_remove(&s->entries, spiffe);
	identity_publish(s, e->spiffe, NULL);
	entry_free(e);
}

const struct ap_identity *
ap_identity_find(const struct ap_identity_store *s, struct ap_slice spiffe)
{
	const struct identity_entry *e = ap_map_find(&s->entries, spiffe);

	if (e == NULL || e->current == NULL || e->current->not_after * 1000 <= ap_clock_wall_ms())
		return NULL;
	return e->current;
}

bool
ap_identity_is_host(const struct ap_identity_store *s, const struct ap_identity *id)
{
	return s->host != NULL && id != NULL && ap_slice_eq_text(id->spiffe, s->host->spiffe);
}

bool
ap_identity_is_complete(const struct ap_identity_store *s)
{
	struct ap_map_entry *m;
	size_t i = 0;

	while ((m = ap_map_next(&s->entries, &i)) != NULL) {
		if (ap_identity_find(s, m->key) == NULL)
			return false;
	}
	return true;
}

/* With the host's certificate once there is one; without, the token speaks for us. */
static struct ap_tls *
control_plane_tls(void *arg)
{
	static const char *const alpn_h2[] = { "h2", NULL };
	struct ap_identity_store *s = arg;
	struct ap_tls_settings tls = { .alpn = alpn_h2, .verify = AP_TLS_VERIFY_REQUIRED, .check_host = true };
	const struct ap_identity *id;
	struct ap_buf roots;
	struct ap_error err;

	AP_IS(s, STORE_MAGIC);
	id = s->host == NULL ? NULL : ap_identity_find(s, ap_slice_of(s->host->spiffe));
	if (s->tls != NULL)
		return ap_tls_ref(s->tls);
	ap_buf_init(&roots, IDENTITY_PEM_MAX);
	if (s->ca_file != NULL && ap_file_read(s->ca_file, &roots, &err) != 0)
		LOG_WARN_LIMIT(NULL, 1, "controlPlane.caFile: %s", err.text);
	if (id != NULL) {
		ap_buf_add_text(&roots, "\n");
		ap_buf_add_text(&roots, id->roots_pem);
		tls.cert_chain_pem = ap_slice_of(id->chain_pem);
		tls.key_pem = ap_buf_slice(&s->host->key);
	}
	tls.roots_pem = ap_buf_slice(&roots);
	if (roots.len > 0 && !roots.bad) {
		s->tls = ap_tls_new(&tls, &err);
		if (s->tls == NULL)
			LOG_WARN_LIMIT(NULL, 1, "no TLS to the control plane: %s", err.text);
	}
	ap_buf_done(&roots);
	return s->tls == NULL ? NULL : ap_tls_ref(s->tls);
}

struct ap_tls *
ap_identity_xds_tls(void *arg)
{
	struct ap_identity_store *s = arg;

	AP_IS(s, STORE_MAGIC);
	/* Discovery is for hosts that have joined: what they run is registered by their certificate. */
	if (s->host == NULL || ap_identity_find(s, ap_slice_of(s->host->spiffe)) == NULL)
		return NULL;
	return control_plane_tls(s);
}

void
ap_identity_xds_token(void *arg, struct ap_buf *out)
{
	struct ap_identity_store *s = arg;
	struct ap_slice text;
	struct ap_buf token;
	struct ap_error err;

	AP_IS(s, STORE_MAGIC);
	if (s->token_file == NULL || s->host == NULL || ap_identity_find(s, ap_slice_of(s->host->spiffe)) != NULL)
		return;
	ap_buf_init(&token, 8192);
	if (ap_file_read(s->token_file, &token, &err) != 0) {
		LOG_WARN_LIMIT(NULL, 1, "controlPlane.tokenFile: %s", err.text);
	} else {
		text = ap_buf_slice(&token);
		while (text.len > 0 && (text.ptr[text.len - 1] == '\n' || text.ptr[text.len - 1] == '\r'))
			text.len--;
		text = ap_slice_trim(text);
		if (text.len > 0) {
			ap_buf_add_text(out, "Bearer ");
			ap_buf_add_slice(out, text);
		}
	}
	ap_buf_wipe(&token);
	ap_buf_done(&token);
}

void
ap_identity_each(struct ap_identity_store *s,
    void (*fn)(struct ap_slice spiffe, const struct ap_identity *id, const char *error, void *arg), void *arg)
{
	struct ap_map_entry *m;
	size_t i = 0;

	while ((m = ap_map_next(&s->entries, &i)) != NULL) {
		const struct identity_entry *e = m->value;

		fn(m->key, e->current, e->error, arg);
	}
}
