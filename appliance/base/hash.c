/*
 * hash.c -- SipHash-2-4 (Aumasson, Bernstein) under a key that strangers cannot know, and FNV-1a.
 *
 * The key is drawn once per process, at the first use.  Any thread.
 */
#include "base/hash.h"

#include <pthread.h>
#include <string.h>

#include "base/rand.h"

static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static uint64_t key[2];

static void
draw_key(void)
{
	ap_rand_bytes(key, sizeof(key));
}

static inline uint64_t
rotl(uint64_t v, unsigned n)
{
	return v << n | v >> (64 - n);
}

static inline void
sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotl(v[1], 13) ^ v[0];
	v[0] = rotl(v[0], 32);
	v[2] += v[3];
	v[3] = rotl(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotl(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotl(v[1], 17) ^ v[2];
	v[2] = rotl(v[2], 32);
}

static inline uint64_t
load_le(const unsigned char *p, size_t size)
{
	uint64_t v = 0;

	for (size_t i = 0; i < size; i++)
		v |= (uint64_t)p[i] << (8 * i);
	return v;
}

uint64_t
ap_hash_sip(const uint64_t k[2], const void *bytes, size_t size)
{
	const unsigned char *p = bytes;
	uint64_t v[4] = { k[0] ^ 0x736f6d6570736575U, k[1] ^ 0x646f72616e646f6dU, k[0] ^ 0x6c7967656e657261U,
		k[1] ^ 0x7465646279746573U };
	uint64_t m;
	size_t left = size;

	for (; left >= 8; left -= 8, p += 8) {
		m = load_le(p, 8);
		v[3] ^= m;
		sip_round(v);
		sip_round(v);
		v[0] ^= m;
	}
	m = load_le(p, left) | (uint64_t)size << 56;
	v[3] ^= m;
	sip_round(v);
	sip_round(v);
	v[0] ^= m;
	v[2] ^= 0xff;
	for (int i = 0; i < 4; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t
ap_hash(const void *bytes, size_t size)
{
	pthread_once(&key_once, draw_key);
	return ap_hash_sip(key, bytes, size);
}

uint64_t
ap_hash_fnv(const void *bytes, size_t size)
{
	const unsigned char *p = bytes;
	uint64_t h = 0xcbf29ce484222325U;

	for (size_t i = 0; i < size; i++)
		h = (h ^ p[i]) * 0x100000001b3U;
	return h;
}
