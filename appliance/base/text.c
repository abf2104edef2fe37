/*
 * text.c -- strict readers for what people and peers write as text.
 *
 * Each reader takes all of its slice or refuses; none depends on the locale, errno or a NUL.  Pure functions.
 */
#include "base/text.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DISTANCE_LEN_MAX 64

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

int
ap_text_to_u64(struct ap_slice s, uint64_t max, uint64_t *out)
{
	uint64_t v = 0;
	bool over = false;

	if (s.len == 0)
		return -EINVAL;
	for (size_t i = 0; i < s.len; i++) {
		if (!is_digit(s.ptr[i]))
			return -EINVAL;
		over = over || __builtin_mul_overflow(v, 10U, &v) ||
		       __builtin_add_overflow(v, (uint64_t)(s.ptr[i] - '0'), &v);
	}
	if (over || v > max)
		return -ERANGE;
	*out = v;
	return 0;
}

int
ap_text_to_i64(struct ap_slice s, int64_t *out)
{
	bool negative = s.len > 0 && s.ptr[0] == '-';
	uint64_t v;
	int r;

	if (negative)
		s = ap_slice_from(s, 1);
	r = ap_text_to_u64(s, (uint64_t)INT64_MAX + negative, &v);
	if (r < 0)
		return r;
	*out = negative ? (int64_t)(0U - v) : (int64_t)v;
	return 0;
}

/* Digits with at most one '.', then an exponent: what strtod reads, without its names, hexadecimals and blanks. */
static bool
is_decimal(struct ap_slice s)
{
	size_t i = s.len > 0 && (s.ptr[0] == '-' || s.ptr[0] == '+');
	size_t digits = 0;
	bool dot = false;

	for (; i < s.len && (is_digit(s.ptr[i]) || (s.ptr[i] == '.' && !dot)); i++) {
		if (s.ptr[i] == '.')
			dot = true;
		else
			digits++;
	}
	if (digits == 0)
		return false;
	if (i == s.len)
		return true;
	if (s.ptr[i] != 'e' && s.ptr[i] != 'E')
		return false;
	i++;
	if (i < s.len && (s.ptr[i] == '-' || s.ptr[i] == '+'))
		i++;
	if (i == s.len)
		return false;
	for (; i < s.len; i++)
		if (!is_digit(s.ptr[i]))
			return false;
	return true;
}

int
ap_text_to_double(struct ap_slice s, double *out)
{
	char copy[64];
	double v;

	if (s.len == 0 || s.len >= sizeof(copy) || !is_decimal(s))
		return -EINVAL;
	memcpy(copy, s.ptr, s.len);
	copy[s.len] = '\0';
	v = strtod(copy, NULL);
	if (!isfinite(v))
		return -ERANGE;
	*out = v;
	return 0;
}

int
ap_text_to_bool(struct ap_slice s, bool *out)
{
	if (ap_slice_eq(s, AP_S("true")))
		*out = true;
	else if (ap_slice_eq(s, AP_S("false")))
		*out = false;
	else
		return -EINVAL;
	return 0;
}

static const struct {
	struct ap_slice name;
	int64_t ns;
} duration_units[] = {
	{ AP_S("ns"), 1 },
	{ AP_S("us"), 1000 },
	{ AP_S("\xc2\xb5s"), 1000 }, /* micro sign */
	{ AP_S("\xce\xbcs"), 1000 }, /* Greek mu */
	{ AP_S("ms"), 1000000 },
	{ AP_S("s"), 1000000000 },
	{ AP_S("m"), 60000000000 },
	{ AP_S("h"), 3600000000000 },
};

static int64_t
duration_unit(struct ap_slice name)
{
	for (size_t i = 0; i < AP_COUNTOF(duration_units); i++)
		if (ap_slice_eq(name, duration_units[i].name))
			return duration_units[i].ns;
	return 0;
}

static struct ap_slice
take_digits(struct ap_slice *s)
{
	size_t n = 0;

	while (n < s->len && is_digit(s->ptr[n]))
		n++;
	*s = ap_slice(s->ptr + n, s->len - n);
	return ap_slice(s->ptr - n, n);
}

/* One "1.5h" off the front. */
static int
take_duration_part(struct ap_slice *s, int64_t *out)
{
	struct ap_slice whole = take_digits(s), fraction = AP_SLICE_NONE;
	size_t n = 0;
	uint64_t v = 0;
	int64_t unit, scale;
	int r;

	if (s->len > 0 && s->ptr[0] == '.') {
		*s = ap_slice_from(*s, 1);
		fraction = take_digits(s);
	}
	while (n < s->len && !is_digit(s->ptr[n]) && s->ptr[n] != '.')
		n++;
	unit = duration_unit(ap_slice_sub(*s, 0, n));
	if (unit == 0 || whole.len + fraction.len == 0)
		return -EINVAL;
	*s = ap_slice_from(*s, n);
	if (whole.len > 0 && (r = ap_text_to_u64(whole, INT64_MAX, &v)) < 0)
		return r;
	if (__builtin_mul_overflow((int64_t)v, unit, out))
		return -ERANGE;
	scale = unit;
	for (size_t i = 0; i < fraction.len && scale >= 10; i++) {
		scale /= 10;
		if (__builtin_add_overflow(*out, (fraction.ptr[i] - '0') * scale, out))
			return -ERANGE;
	}
	return 0;
}

int
ap_text_to_duration(struct ap_slice s, int64_t *out_ns)
{
	int64_t sum = 0, part;
	int r;

	if (s.len == 0)
		return -EINVAL;
	if (ap_slice_eq(s, AP_S("0"))) {
		*out_ns = 0;
		return 0;
	}
	while (s.len > 0) {
		if ((r = take_duration_part(&s, &part)) < 0)
			return r;
		if (__builtin_add_overflow(sum, part, &sum))
			return -ERANGE;
	}
	*out_ns = sum;
	return 0;
}

static const struct {
	struct ap_slice name;
	uint64_t factor;
} size_units[] = {
	{ AP_S(""), 1 },
	{ AP_S("k"), 1000 },
	{ AP_S("K"), 1000 },
	{ AP_S("M"), 1000000 },
	{ AP_S("G"), 1000000000 },
	{ AP_S("T"), 1000000000000 },
	{ AP_S("Ki"), UINT64_C(1) << 10 },
	{ AP_S("Mi"), UINT64_C(1) << 20 },
	{ AP_S("Gi"), UINT64_C(1) << 30 },
	{ AP_S("Ti"), UINT64_C(1) << 40 },
};

int
ap_text_to_size(struct ap_slice s, uint64_t *out)
{
	struct ap_slice digits = s.len == 0 ? s : take_digits(&s);
	uint64_t v;
	int r = ap_text_to_u64(digits, UINT64_MAX, &v);

	if (r < 0)
		return r;
	for (size_t i = 0; i < AP_COUNTOF(size_units); i++) {
		if (!ap_slice_eq(s, size_units[i].name))
			continue;
		if (__builtin_mul_overflow(v, size_units[i].factor, &v))
			return -ERANGE;
		*out = v;
		return 0;
	}
	return -EINVAL;
}

static bool
is_tail(unsigned char c)
{
	return (c & 0xc0) == 0x80;
}

/* Table 3-7 of the Unicode standard: the second byte decides about overlong forms and surrogates. */
size_t
ap_text_utf8_next(struct ap_slice s)
{
	const unsigned char *p = (const unsigned char *)s.ptr;

	if (s.len == 0)
		return 0;
	if (p[0] < 0x80)
		return 1;
	if (p[0] >= 0xc2 && p[0] <= 0xdf)
		return s.len >= 2 && is_tail(p[1]) ? 2 : 0;
	if ((p[0] & 0xf0) == 0xe0) {
		unsigned char low = p[0] == 0xe0 ? 0xa0 : 0x80, high = p[0] == 0xed ? 0x9f : 0xbf;

		return s.len >= 3 && p[1] >= low && p[1] <= high && is_tail(p[2]) ? 3 : 0;
	}
	if (p[0] >= 0xf0 && p[0] <= 0xf4) {
		unsigned char low = p[0] == 0xf0 ? 0x90 : 0x80, high = p[0] == 0xf4 ? 0x8f : 0xbf;

		return s.len >= 4 && p[1] >= low && p[1] <= high && is_tail(p[2]) && is_tail(p[3]) ? 4 : 0;
	}
	return 0;
}

bool
ap_text_is_utf8(struct ap_slice s)
{
	size_t n;

	for (size_t i = 0; i < s.len; i += n)
		if ((n = ap_text_utf8_next(ap_slice_from(s, i))) == 0)
			return false;
	return true;
}

static bool
is_label_char(char c)
{
	return (c >= 'a' && c <= 'z') || is_digit(c);
}

bool
ap_text_is_label(struct ap_slice s)
{
	if (s.len == 0 || s.len > 63 || !is_label_char(s.ptr[0]) || !is_label_char(s.ptr[s.len - 1]))
		return false;
	for (size_t i = 0; i < s.len; i++)
		if (!is_label_char(s.ptr[i]) && s.ptr[i] != '-')
			return false;
	return true;
}

bool
ap_text_is_dns_name(struct ap_slice s)
{
	if (s.len == 0 || s.len > 253)
		return false;
	while (s.ptr != NULL)
		if (!ap_text_is_label(ap_slice_cut(&s, '.')))
			return false;
	return true;
}

/* Optimal string alignment: insert, delete, replace, swap two neighbours. */
unsigned
ap_text_distance(struct ap_slice a, struct ap_slice b, unsigned limit)
{
	unsigned rows[3][DISTANCE_LEN_MAX + 1];
	unsigned *before = rows[0], *last = rows[1], *now = rows[2];

	if (a.len > DISTANCE_LEN_MAX || b.len > DISTANCE_LEN_MAX)
		return limit + 1;
	for (unsigned j = 0; j <= b.len; j++)
		last[j] = j;
	memset(before, 0, sizeof(rows[0]));
	for (unsigned i = 1; i <= a.len; i++) {
		unsigned *spare = before;

		now[0] = i;
		for (size_t j = 1; j <= b.len; j++) {
			unsigned replace = last[j - 1] + (a.ptr[i - 1] != b.ptr[j - 1]);
			unsigned best = AP_MIN(replace, AP_MIN(last[j], now[j - 1]) + 1);

			if (i > 1 && j > 1 && a.ptr[i - 1] == b.ptr[j - 2] && a.ptr[i - 2] == b.ptr[j - 1])
				best = AP_MIN(best, before[j - 2] + 1);
			now[j] = best;
		}
		before = last;
		last = now;
		now = spare;
	}
	return AP_MIN(last[b.len], limit + 1);
}

const char *
ap_text_nearest(struct ap_slice s, const char *const *list)
{
	unsigned best = s.len < 3 ? 1 : (unsigned)AP_MIN(s.len / 3, (size_t)4) + 1;
	const char *nearest = NULL;

	for (; *list != NULL; list++) {
		unsigned d = ap_text_distance(s, ap_slice_of(*list), best);

		if (d < best) {
			best = d;
			nearest = *list;
		}
	}
	return nearest;
}

const char *
ap_text_format_duration(int64_t ns, char *out, size_t size)
{
	const char *sign = ns < 0 ? "-" : "";
	uint64_t v = ns < 0 ? 0U - (uint64_t)ns : (uint64_t)ns;
	uint64_t h = v / 3600000000000U, m = v / 60000000000U % 60, s = v / 1000000000U % 60;
	uint64_t fraction = v % 1000000000U;
	char hm[48] = "", sec[32] = "";

	if (v == 0) {
		snprintf(out, size, "0s");
		return out;
	}
	if (v < 1000000000U) {
		if (v % 1000000U == 0)
			snprintf(out, size, "%s%jums", sign, (uintmax_t)(v / 1000000U));
		else if (v % 1000U == 0)
			snprintf(out, size, "%s%juus", sign, (uintmax_t)(v / 1000U));
		else
			snprintf(out, size, "%s%juns", sign, (uintmax_t)v);
		return out;
	}
	if (h > 0)
		snprintf(hm, sizeof(hm), "%juh", (uintmax_t)h);
	if (m > 0)
		snprintf(hm + strlen(hm), sizeof(hm) - strlen(hm), "%jum", (uintmax_t)m);
	if (fraction > 0) {
		int n = snprintf(sec, sizeof(sec), "%ju.%09ju", (uintmax_t)s, (uintmax_t)fraction);

		while (n > 0 && sec[n - 1] == '0')
			sec[--n] = '\0';
	} else if (s > 0) {
		snprintf(sec, sizeof(sec), "%ju", (uintmax_t)s);
	}
	snprintf(out, size, "%s%s%s%s", sign, hm, sec, sec[0] == '\0' ? "" : "s");
	return out;
}

size_t
ap_text_put_u64(uint64_t v, char *out)
{
	char digits[AP_TEXT_U64];
	size_t n = 0;

	do {
		digits[n++] = (char)('0' + v % 10);
		v /= 10;
	} while (v > 0);
	for (size_t i = 0; i < n; i++)
		out[i] = digits[n - 1 - i];
	return n;
}
