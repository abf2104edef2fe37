/*
 * zt_sniff.c -- which HTTP is it?  The client's first bytes are compared with the preface of HTTP/2; where they differ they are
 * HTTP/1 so far, and what was equal is known without having been kept.  Owns the observer's memory.  Any thread.
 */
#include "ztunnel/zt_sniff.h"

#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "ztunnel/zt_sniff_priv.h"

#define METHOD_MAX 20U

enum kind { UNDECIDED, HTTP1, HTTP2 };

struct zt_sniff {
	uint8_t kind;
	uint8_t preface; /* bytes of it that were seen; complete with HTTP2: the frames follow */
	union {
		struct h1 h1;
		struct h2 *h2;
	} u;
};
_Static_assert(sizeof(struct zt_sniff) <= ZT_SNIFF_SIZE, "what an HTTP/1 connection costs");

/* A server of HTTP/2 may speak first: with an empty or small SETTINGS frame. */
static bool
is_settings(const uint8_t *p, size_t size)
{
	static const uint8_t rest[] = { 4, 0, 0, 0, 0, 0 };

	return size >= 9 && p[0] == 0 && p[1] == 0 && p[2] % 6 == 0 && memcmp(p + 3, rest, sizeof(rest)) == 0;
}

bool
zt_sniff_is_likely(enum zt_sniff_side side, const void *bytes, size_t size)
{
	const uint8_t *p = bytes;
	size_t i;

	if (side == ZT_SNIFF_SERVER)
		return is_settings(p, size);
	for (i = 0; i < size && ((p[i] >= 'A' && p[i] <= 'Z') || p[i] == '-'); i++)
		;
	return i > 0 && i <= METHOD_MAX && (i == size || p[i] == ' ') && p[0] != '-';
}

struct zt_sniff *
zt_sniff_new(void)
{
	return ap_new(struct zt_sniff);
}

void
zt_sniff_free(struct zt_sniff **sniff)
{
	struct zt_sniff *s = *sniff;

	if (s == NULL)
		return;
	if (s->kind == HTTP2)
		zt_sniff_h2_free(&s->u.h2);
	ap_free(sniff);
}

static bool
become_h2(struct zt_sniff *s)
{
	struct h2 *h2 = zt_sniff_h2_new();

	if (h2 == NULL)
		return false;
	s->u.h2 = h2;
	s->kind = HTTP2;
	return true;
}

/* The client's bytes up to the end of the preface. False: they are no HTTP/2. */
static bool
match_preface(struct zt_sniff *s, const uint8_t **p, const uint8_t *end)
{
	while (*p < end && s->preface < ZT_SNIFF_PREFACE_LEN && **p == (uint8_t)ZT_SNIFF_PREFACE[s->preface]) {
		s->preface++;
		(*p)++;
	}
	return *p == end || s->preface == ZT_SNIFF_PREFACE_LEN;
}

static bool
decide(struct zt_sniff *s, enum zt_sniff_side side, const uint8_t **p, const uint8_t *end,
    const struct zt_sniff_call *call)
{
	static const uint8_t preface[] = ZT_SNIFF_PREFACE;

	/* Nobody answers HTTP/1 that was not asked; HTTP/2 one may, before the client's bytes have come by. */
	if (side == ZT_SNIFF_SERVER)
		return become_h2(s);
	if (match_preface(s, p, end))
		return s->preface < ZT_SNIFF_PREFACE_LEN || become_h2(s);
	s->kind = HTTP1;
	return zt_sniff_h1_feed(&s->u.h1, side, preface, preface + s->preface, call);
}

bool
zt_sniff_feed(struct zt_sniff *s, enum zt_sniff_side side, const void *bytes, size_t size, uint64_t now_us, zt_sniff_fn fn,
    void *arg)
{
	const struct zt_sniff_call call = { .fn = fn, .arg = arg, .now_us = now_us };
	const uint8_t *p = bytes, *end = p + size;

	if (size == 0)
		return true;
	if (s->kind == UNDECIDED && (!decide(s, side, &p, end, &call)))
		return false;
	if (s->kind == UNDECIDED)
		return true;
	if (s->kind == HTTP1)
		return zt_sniff_h1_feed(&s->u.h1, side, p, end, &call);
	if (side == ZT_SNIFF_CLIENT && s->preface < ZT_SNIFF_PREFACE_LEN && !match_preface(s, &p, end))
		return false;
	return zt_sniff_h2_feed(s->u.h2, side, p, end, &call);
}

void
zt_sniff_finish(struct zt_sniff *s, uint64_t now_us, zt_sniff_fn fn, void *arg)
{
	const struct zt_sniff_call call = { .fn = fn, .arg = arg, .now_us = now_us };

	if (s->kind == HTTP1)
		zt_sniff_h1_finish(&s->u.h1, &call);
	else if (s->kind == HTTP2)
		zt_sniff_h2_finish(s->u.h2, &call);
}
