/*
 * clock.c -- the only reader of time, so that tests can hold it still.
 *
 * Frozen, both clocks start from what they showed and move by ap_clock_advance alone.  Any thread.
 */
#include "base/clock.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static atomic_bool frozen;
static _Atomic uint64_t frozen_mono_ns;
static _Atomic int64_t frozen_wall_us;

static uint64_t
read_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000000U + (uint64_t)ts.tv_nsec;
}

uint64_t
ap_clock_mono_ns(void)
{
	if (atomic_load_explicit(&frozen, memory_order_acquire))
		return atomic_load(&frozen_mono_ns);
	return read_ns(CLOCK_MONOTONIC);
}

uint64_t
ap_clock_mono_ms(void)
{
	return ap_clock_mono_ns() / 1000000U;
}

int64_t
ap_clock_wall_us(void)
{
	if (atomic_load_explicit(&frozen, memory_order_acquire))
		return atomic_load(&frozen_wall_us);
	return (int64_t)(read_ns(CLOCK_REALTIME) / 1000U);
}

int64_t
ap_clock_wall_ms(void)
{
	return ap_clock_wall_us() / 1000;
}

const char *
ap_clock_format(int64_t wall_us, int digits, char *out, size_t size)
{
	/* The calendar of the last second asked for: logs ask for the same one again and again. */
	static _Thread_local struct {
		time_t second;
		char text[40];
	} last = { -1, "" };
	int64_t us = wall_us % 1000000, divisor = 100000;
	time_t s = (time_t)(wall_us / 1000000);
	struct tm tm;
	size_t n;

	if (us < 0) {
		us += 1000000;
		s--;
	}
	if (s != last.second) {
		if (gmtime_r(&s, &tm) == NULL || strftime(last.text, sizeof(last.text), "%Y-%m-%dT%H:%M:%S", &tm) == 0) {
			last.second = -1;
			snprintf(out, size, "?");
			return out;
		}
		last.second = s;
	}
	n = strlen(last.text);
	if (size < n + 9) {
		snprintf(out, size, "%s", last.text);
		return out;
	}
	memcpy(out, last.text, n);
	digits = digits <= 0 ? 0 : digits <= 3 ? 3 : 6;
	if (digits > 0)
		out[n++] = '.';
	for (; digits > 0; digits--, divisor /= 10)
		out[n++] = (char)('0' + us / divisor % 10);
	out[n++] = 'Z';
	out[n] = '\0';
	return out;
}

void
ap_clock_freeze(void)
{
	if (atomic_load(&frozen))
		return;
	atomic_store(&frozen_mono_ns, read_ns(CLOCK_MONOTONIC));
	atomic_store(&frozen_wall_us, (int64_t)(read_ns(CLOCK_REALTIME) / 1000U));
	atomic_store_explicit(&frozen, true, memory_order_release);
}

void
ap_clock_advance(uint64_t ms)
{
	atomic_fetch_add(&frozen_mono_ns, ms * 1000000U);
	atomic_fetch_add(&frozen_wall_us, (int64_t)ms * 1000);
}
