/*
 * rand.c -- getrandom(2) for secrets, xoshiro256** per thread for everything else.
 *
 * The kernel's generator failing would make keys guessable, so that is a panic.  Any thread.
 */
#include "base/rand.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/random.h>

#include "base/check.h"

static _Thread_local uint64_t state[4];
static _Thread_local bool seeded;

void
ap_rand_bytes(void *out, size_t size)
{
	unsigned char *p = out;

	while (size > 0) {
		ssize_t n = getrandom(p, size, 0);

		if (n < 0 && errno == EINTR)
			continue;
		AP_CHECK(n > 0);
		p += n;
		size -= (size_t)n;
	}
}

static inline uint64_t
rotl(uint64_t v, unsigned n)
{
	return v << n | v >> (64 - n);
}

uint64_t
ap_rand_fast(void)
{
	uint64_t out, t;

	if (AP_UNLIKELY(!seeded)) {
		ap_rand_bytes(state, sizeof(state));
		state[0] |= 1; /* all zero would stay zero */
		seeded = true;
	}
	out = rotl(state[1] * 5, 7) * 9;
	t = state[1] << 17;
	state[2] ^= state[0];
	state[3] ^= state[1];
	state[1] ^= state[2];
	state[0] ^= state[3];
	state[2] ^= t;
	state[3] = rotl(state[3], 45);
	return out;
}

/* Lemire's method: the multiplication maps onto [0, bound), the rejection removes the bias. */
uint32_t
ap_rand_below(uint32_t bound)
{
	uint64_t m;
	uint32_t low, least;

	AP_CHECK(bound > 0);
	m = (ap_rand_fast() >> 32) * bound;
	low = (uint32_t)m;
	if (low < bound) {
		least = (0U - bound) % bound;
		while (low < least) {
			m = (ap_rand_fast() >> 32) * bound;
			low = (uint32_t)m;
		}
	}
	return (uint32_t)(m >> 32);
}
