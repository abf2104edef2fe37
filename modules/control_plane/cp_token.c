/*
 * cp_token.c -- join tokens: "ambit1.<id>.<secret>".  The id is the object's name; of the secret only the hash is stored, so
 * who reads the store or the API cannot enrol.
 */
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "base/b64.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/rand.h"
#include "control_plane/cp_store.h"
#include "model/checks.h"

#define SECRET_BYTES 32
#define ID_BYTES 5
#define PREFIX "ambit1."

/* SHA-256 in hex. */
static void
hash_text(struct ap_slice text, char out[65])
{
	unsigned char digest[32] = { 0 };
	struct ap_buf hex;
	unsigned int n = 0;

	EVP_Digest(text.ptr, text.len, digest, &n, EVP_sha256(), NULL);
	ap_buf_init(&hex, 65);
	ap_hex_encode(ap_slice((const char *)digest, sizeof(digest)), &hex);
	snprintf(out, 65, "%.*s", (int)hex.len, hex.ptr);
	ap_buf_done(&hex);
}

static int64_t
expiry_ms(const struct ap_doc *spec)
{
	int64_t at;

	if (ap_check_parse_time(ap_doc_string(spec, "expires", ""), &at))
		return at;
	return ap_clock_wall_ms() + ap_doc_duration_ns(spec, "ttl", INT64_C(3600) * 1000000000) / 1000000;
}

struct ap_slice
cp_token_mint(struct ap_arena *arena, struct ap_doc *doc, struct ap_arena *scratch)
{
	struct ap_doc *metadata = ap_doc_get(doc, "metadata"), *status = ap_doc_new_map(arena);
	unsigned char bytes[SECRET_BYTES];
	char text[80], hash[65], at[40];
	struct ap_buf secret;
	struct ap_slice out;

	if (ap_doc_string(metadata, "name", "").len == 0) {
		struct ap_slice base = ap_doc_string(metadata, "generateName", "");
		struct ap_buf id;

		ap_rand_bytes(bytes, ID_BYTES);
		ap_buf_init(&id, 300);
		ap_buf_add_slice(&id, base);
		ap_hex_encode(ap_slice((const char *)bytes, ID_BYTES), &id);
		ap_doc_set_string(arena, metadata, "name", ap_buf_slice(&id));
		ap_buf_done(&id);
	}
	ap_rand_bytes(bytes, sizeof(bytes));
	ap_buf_init(&secret, 100);
	ap_b64url_encode(ap_slice((const char *)bytes, sizeof(bytes)), &secret);
	ap_wipe(bytes, sizeof(bytes));
	snprintf(text, sizeof(text), "%.*s", (int)secret.len, secret.ptr);
	ap_wipe(secret.ptr, secret.len);
	ap_buf_done(&secret);
	hash_text(ap_slice_of(text), hash);
	ap_clock_format(expiry_ms(ap_doc_get(doc, "spec")) * 1000, 0, at, sizeof(at));
	ap_doc_set_string(arena, status, "secretHash", ap_slice_of(hash));
	ap_doc_set_string(arena, status, "expiresAt", ap_slice_of(at));
	ap_doc_set(arena, status, "uses", ap_doc_new_int(arena, 0));
	ap_doc_set(arena, doc, "status", status);
	out = ap_arena_printf(scratch, PREFIX "%.*s.%s", AP_FMT(ap_doc_string(metadata, "name", "")), text);
	ap_wipe(text, sizeof(text));
	return out;
}

struct ap_resource *
cp_token_find(struct cp *cp, struct ap_slice token, struct ap_error *err)
{
	static const char nothing[65] = "0000000000000000000000000000000000000000000000000000000000000000";
	struct ap_slice rest, id, stored;
	struct ap_resource *r = NULL;
	char hash[65];
	int64_t expires, uses;
	size_t dot;

	if (!ap_slice_starts(token, AP_S(PREFIX)) || token.len > 512)
		goto wrong;
	rest = ap_slice_from(token, sizeof(PREFIX) - 1);
	dot = ap_slice_find_last(rest, '.'); /* names may hold dots, the secret does not */
	if (dot == SIZE_MAX)
		goto wrong;
	id = ap_slice_sub(rest, 0, dot);
	hash_text(ap_slice_from(rest, dot + 1), hash);
	r = ap_resources_get(cp_resources(cp), "ambit.mesh", "JoinToken", AP_S(""), id);
	stored = r == NULL ? ap_slice_of(nothing) : ap_doc_string(r->status, "secretHash", nothing);
	/* The comparison is made for unknown ids too, so that time does not tell them. */
	if (stored.len != 64 || CRYPTO_memcmp(stored.ptr, hash, 64) != 0 || r == NULL)
		goto wrong;
	if (!ap_check_parse_time(ap_doc_string(r->status, "expiresAt", ""), &expires) || expires <= ap_clock_wall_ms()) {
		ap_error_set(err, -EKEYEXPIRED, "the join token %.*s has expired", AP_FMT(id));
		return NULL;
	}
	uses = ap_doc_int(r->spec, "uses", 1);
	if (uses > 0 && ap_doc_int(r->status, "uses", 0) >= uses) {
		ap_error_set(err, -EDQUOT, "the join token %.*s has no uses left", AP_FMT(id));
		return NULL;
	}
	return r;
wrong:
	ap_error_set(err, -EACCES, "the join token is not known");
	return NULL;
}
