/*
 * identity_make.c -- an identity from PEM, and its file on disk.  A file holds key, chain and roots together, written in one
 * rename, mode 0600: what is read back is always of one piece.  Functions of values: any thread.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "mesh/identity_priv.h"
#include "mesh/object.h"
#include "net/tls.h"
#include "net/x509.h"

#define MARK_KEY "# ambit: key\n"
#define MARK_CHAIN "# ambit: chain\n"
#define MARK_ROOTS "# ambit: roots\n"

static const char *const alpn_h2[] = { "h2", NULL };

struct ap_identity *
ap_identity_ref(struct ap_identity *id)
{
	if (id != NULL)
		ap_refs_add(&id->refs);
	return id;
}

void
ap_identity_unref(struct ap_identity **id)
{
	struct ap_identity *old = *id;

	*id = NULL;
	if (old == NULL)
		return;
	AP_IS(old, IDENTITY_MAGIC);
	if (!ap_refs_drop(&old->refs))
		return;
	ap_tls_unref(&old->client);
	ap_tls_unref(&old->server);
	ap_free(&old->chain_pem);
	ap_free(&old->roots_pem);
	ap_mem_free((void *)(uintptr_t)old->spiffe.ptr);
	old->magic = 0;
	ap_free(&old);
}

const char *
ap_identity_format(
    struct ap_slice trust_domain, struct ap_slice namespace_, struct ap_slice account, char *out, size_t size)
{
	(void)snprintf(out, size, "spiffe://%.*s/ns/%.*s/sa/%.*s", AP_FMT(trust_domain), AP_FMT(namespace_),
	    AP_FMT(account));
	return out;
}

/* Validity, serial and that it is a certificate of this very identity. */
static int
read_leaf(struct ap_identity *id, struct ap_slice chain_pem, struct ap_error *err)
{
	struct ap_arena *arena = ap_arena_new(65536);
	struct ap_cert_info info = { 0 };
	bool found = false;
	size_t i;
	int r = ap_cert_read(chain_pem, arena, &info, err);

	for (i = 0; r == 0 && i < info.uri_count; i++)
		found = found || ap_slice_eq(info.uris[i], id->spiffe);
	if (r == 0 && !found)
		r = ap_error_set(err, -EINVAL, "certificate is not for %s", id->spiffe.ptr);
	id->not_before = info.not_before;
	id->not_after = info.not_after;
	memcpy(id->serial, info.serial, sizeof(id->serial));
	ap_arena_free(&arena);
	return r;
}

struct ap_identity *
identity_make(struct ap_slice spiffe, struct ap_slice key_pem, struct ap_slice chain_pem, struct ap_slice roots_pem,
    uint64_t generation, struct ap_error *err)
{
	struct ap_tls_settings tls = { .cert_chain_pem = chain_pem,
		.key_pem = key_pem,
		.roots_pem = roots_pem,
		.alpn = alpn_h2,
		.verify = AP_TLS_VERIFY_REQUIRED,
		.mesh = true };
	struct ap_identity *id = ap_new(struct ap_identity);

	id->magic = IDENTITY_MAGIC;
	ap_refs_init(&id->refs);
	id->generation = generation;
	id->spiffe = ap_slice(ap_strndup(spiffe.ptr, spiffe.len), spiffe.len);
	if (!ap_spiffe_parse(id->spiffe, &id->trust_domain, &id->namespace_, &id->account)) {
		(void)ap_error_set(err, -EINVAL, "%s is not a SPIFFE id", id->spiffe.ptr);
		ap_identity_unref(&id);
		return NULL;
	}
	id->chain_pem = ap_strndup(chain_pem.ptr, chain_pem.len);
	id->roots_pem = ap_strndup(roots_pem.ptr, roots_pem.len);
	if (read_leaf(id, chain_pem, err) == 0)
		id->client = ap_tls_new(&tls, err);
	tls.is_server = true;
	if (id->client != NULL)
		id->server = ap_tls_new(&tls, err);
	if (id->server == NULL)
		ap_identity_unref(&id);
	return id;
}

/* Text of a SPIFFE id that is fit for a file name. */
static int
path_of(const char *folder, struct ap_slice spiffe, char *out, size_t size, struct ap_error *err)
{
	char name[AP_MESH_SNI_MAX];
	int n;

	if (ap_mesh_sni(spiffe, name)[0] == '\0' || strchr(name, '/') != NULL)
		return ap_error_set(err, -EINVAL, "%.*s cannot name a file", AP_FMT(spiffe));
	n = snprintf(out, size, "%s/%s.pem", folder, name);
	if (n < 0 || (size_t)n >= size)
		return ap_error_set(err, -ENAMETOOLONG, "state folder %s: path too long", folder);
	return 0;
}

int
identity_save(const char *folder, struct ap_slice spiffe, struct ap_slice key_pem, struct ap_slice chain_pem,
    struct ap_slice roots_pem, struct ap_error *err)
{
	char path[1024];
	struct ap_buf text;
	int r = path_of(folder, spiffe, path, sizeof(path), err);

	if (r != 0)
		return r;
	ap_buf_init(&text, IDENTITY_PEM_MAX * 3);
	ap_buf_add_text(&text, MARK_KEY);
	ap_buf_add_slice(&text, key_pem);
	ap_buf_add_text(&text, "\n" MARK_CHAIN);
	ap_buf_add_slice(&text, chain_pem);
	ap_buf_add_text(&text, "\n" MARK_ROOTS);
	ap_buf_add_slice(&text, roots_pem);
	r = text.bad ? ap_error_set(err, -EFBIG, "certificate too large to keep")
	             : ap_file_write(path, ap_buf_slice(&text), 0600, err);
	ap_buf_wipe(&text);
	ap_buf_done(&text);
	return r;
}

static bool
split(struct ap_slice text, struct ap_slice *key, struct ap_slice *chain, struct ap_slice *roots)
{
	size_t c = ap_slice_search(text, AP_S("\n" MARK_CHAIN)), r = ap_slice_search(text, AP_S("\n" MARK_ROOTS));

	if (!ap_slice_starts(text, AP_S(MARK_KEY)) || c == SIZE_MAX || r == SIZE_MAX || r < c)
		return false;
	*key = ap_slice_sub(text, sizeof(MARK_KEY) - 1, c - (sizeof(MARK_KEY) - 1));
	c += sizeof("\n" MARK_CHAIN) - 1;
	*chain = ap_slice_sub(text, c, r - c);
	*roots = ap_slice_from(text, r + sizeof("\n" MARK_ROOTS) - 1);
	return true;
}

int
identity_load(const char *folder, struct ap_slice spiffe, struct ap_buf *out_key, struct ap_identity **out,
    struct ap_error *err)
{
	struct ap_slice key, chain, roots;
	struct ap_identity *id = NULL;
	struct ap_buf text;
	char path[1024];
	int r = path_of(folder, spiffe, path, sizeof(path), err);

	if (r != 0)
		return r;
	ap_buf_init(&text, IDENTITY_PEM_MAX * 3);
	r = ap_file_read(path, &text, err);
	if (r == 0 && !split(ap_buf_slice(&text), &key, &chain, &roots))
		r = ap_error_set(err, -EBADMSG, "%s is not a certificate file of ours", path);
	if (r == 0) {
		id = identity_make(spiffe, key, chain, roots, 0, err);
		r = id == NULL ? -EBADMSG : 0;
	}
	if (r == 0 && id->not_after * 1000 <= ap_clock_wall_ms()) {
		r = ap_error_set(err, -ETIME, "%s expired", path);
		ap_identity_unref(&id);
	}
	if (r == 0) {
		ap_buf_add_slice(out_key, key);
		*out = id;
	}
	ap_buf_wipe(&text);
	ap_buf_done(&text);
	return r;
}
