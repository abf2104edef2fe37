/* clock.h -- the only reader of time; tests can freeze it. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

AP_PUBLIC_BEGIN
uint64_t ap_clock_mono_ns(void); /* monotonic, for intervals */
uint64_t ap_clock_mono_ms(void);
int64_t ap_clock_wall_ms(void); /* Unix time in ms, for people and certificates */
/* RFC 3339, UTC: "2026-11-24T05:45:38.123456Z" with `digits` (0, 3, 6) of fraction. Returns out. */
const char *ap_clock_format(int64_t wall_us, int digits, char *out, size_t size);
int64_t ap_clock_wall_us(void);
/* Tests: from now on both clocks stand still and move by ap_clock_advance alone. */
void ap_clock_freeze(void);
void ap_clock_advance(uint64_t ms);
AP_PUBLIC_END

#endif
