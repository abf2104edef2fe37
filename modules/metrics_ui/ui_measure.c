/*
 * ui_measure.c -- arithmetic on measures, and their compact form on disk.  Everything that the page shows is a sum of
 * these, so this is the one place that knows how they add, split and become quantiles.  Pure.
 */
#include "metrics_ui/ui_measure.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#define FORM 1 /* first byte of the encoded form */

const double ui_bounds[UI_BOUND_COUNT] = { 0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300000,
	600000, 1800000, 3600000 };

void
ui_measure_add_code(struct ui_measure *m, uint16_t code, uint64_t count)
{
	uint32_t i;

	if (count == 0)
		return;
	for (i = 0; i < m->code_count && m->codes[i].code != code; i++)
		;
	if (i == m->code_count && i >= UI_CODES_MAX - 6) {
		/* The last places are kept for one sum per class. */
		code = (uint16_t)(code / 100 * 100 + 99);
		for (i = 0; i < m->code_count && m->codes[i].code != code; i++)
			;
	}
	if (i == UI_CODES_MAX)
		i = UI_CODES_MAX - 1;
	else if (i == m->code_count)
		m->codes[m->code_count++] = (struct ui_code){ .code = code };
	m->codes[i].count += count;
}

void
ui_measure_add(struct ui_measure *to, const struct ui_measure *m)
{
	to->opened += m->opened;
	to->closed += m->closed;
	to->failed += m->failed;
	to->denied += m->denied;
	to->received += m->received;
	to->sent += m->sent;
	to->requests += m->requests;
	to->request_bytes += m->request_bytes;
	to->response_bytes += m->response_bytes;
	to->durations += m->durations;
	to->duration_sum += m->duration_sum;
	for (size_t i = 0; i < UI_BOUND_COUNT; i++)
		to->at_most[i] += m->at_most[i];
	for (uint32_t i = 0; i < m->code_count; i++)
		ui_measure_add_code(to, m->codes[i].code, m->codes[i].count);
}

bool
ui_measure_is_zero(const struct ui_measure *m)
{
	return m->opened == 0 && m->closed == 0 && m->failed == 0 && m->received == 0 && m->sent == 0 && m->requests == 0 &&
	    m->request_bytes == 0 && m->response_bytes == 0 && m->durations == 0 && m->open == 0;
}

uint64_t
ui_measure_class(const struct ui_measure *m, unsigned first_digit)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < m->code_count; i++)
		if (m->codes[i].code / 100U == first_digit)
			sum += m->codes[i].count;
	return sum;
}

double
ui_measure_quantile(const struct ui_measure *m, double q)
{
	double rank = q * (double)m->durations;
	uint64_t below = 0;

	if (m->durations == 0)
		return -1;
	for (size_t i = 0; i < UI_BOUND_COUNT; i++) {
		/* A proxy with other bounds leaves gaps: a cumulative count never falls. */
		uint64_t here = m->at_most[i] > below ? m->at_most[i] : below;

		if ((double)here >= rank && here > below) {
			double low = i == 0 ? 0 : ui_bounds[i - 1];

			return low + (ui_bounds[i] - low) * (rank - (double)below) / (double)(here - below);
		}
		below = here;
	}
	return ui_bounds[UI_BOUND_COUNT - 1];
}

/* Largest whole parts: the first i parts together are floor(v * weight of them / all). */
static uint64_t
part(uint64_t v, const uint64_t *weights, size_t count, size_t i)
{
	double all = 0, before = 0;

	for (size_t k = 0; k < count; k++) {
		all += (double)weights[k];
		if (k < i)
			before += (double)weights[k];
	}
	if (all <= 0)
		return i == 0 ? v : 0;
	if (i + 1 == count)
		return v - (uint64_t)floor((double)v * (before / all));
	return (uint64_t)floor((double)v * ((before + (double)weights[i]) / all)) -
	    (uint64_t)floor((double)v * (before / all));
}

struct ui_measure
ui_measure_part(const struct ui_measure *m, const uint64_t *weights, size_t count, size_t i)
{
	struct ui_measure out = {
		.opened = part(m->opened, weights, count, i),
		.closed = part(m->closed, weights, count, i),
		.failed = part(m->failed, weights, count, i),
		.denied = part(m->denied, weights, count, i),
		.received = part(m->received, weights, count, i),
		.sent = part(m->sent, weights, count, i),
		.open = part(m->open, weights, count, i),
	};

	return out;
}

static void
put(struct ap_buf *out, uint64_t v)
{
	while (v >= 0x80) {
		ap_buf_add_u8(out, (uint8_t)(v | 0x80));
		v >>= 7;
	}
	ap_buf_add_u8(out, (uint8_t)v);
}

static bool
take(struct ap_slice *in, uint64_t *out)
{
	uint64_t v = 0;

	for (unsigned shift = 0; shift < 64 && in->len > 0; shift += 7) {
		uint8_t b = (uint8_t)in->ptr[0];

		*in = ap_slice_from(*in, 1);
		v |= (uint64_t)(b & 0x7f) << shift;
		if ((b & 0x80) == 0) {
			*out = v;
			return true;
		}
	}
	return false;
}

void
ui_measure_encode(const struct ui_measure *m, struct ap_buf *out)
{
	const uint64_t plain[] = { m->opened, m->closed, m->failed, m->denied, m->received, m->sent, m->open, m->requests };

	ap_buf_add_u8(out, FORM);
	for (size_t i = 0; i < AP_COUNTOF(plain); i++)
		put(out, plain[i]);
	if (m->requests == 0 && m->durations == 0)
		return;
	put(out, m->request_bytes);
	put(out, m->response_bytes);
	put(out, m->durations);
	put(out, (uint64_t)llround(m->duration_sum * 1000));
	for (size_t i = 0; i < UI_BOUND_COUNT; i++) /* small: what each bucket adds */
		put(out, m->at_most[i] - (i == 0 || m->at_most[i - 1] > m->at_most[i] ? 0 : m->at_most[i - 1]));
	put(out, m->code_count);
	for (uint32_t i = 0; i < m->code_count; i++) {
		put(out, m->codes[i].code);
		put(out, m->codes[i].count);
	}
}

static bool
take_requests(struct ap_slice *in, struct ui_measure *m)
{
	uint64_t sum, n, code, count;

	if (!take(in, &m->request_bytes) || !take(in, &m->response_bytes) || !take(in, &m->durations) || !take(in, &sum))
		return false;
	m->duration_sum = (double)sum / 1000;
	for (size_t i = 0; i < UI_BOUND_COUNT; i++) {
		if (!take(in, &n))
			return false;
		m->at_most[i] = n + (i == 0 ? 0 : m->at_most[i - 1]);
	}
	if (!take(in, &n) || n > UI_CODES_MAX)
		return false;
	for (uint64_t i = 0; i < n; i++) {
		if (!take(in, &code) || !take(in, &count) || code > 999)
			return false;
		ui_measure_add_code(m, (uint16_t)code, count);
	}
	return true;
}

int
ui_measure_decode(struct ap_slice bytes, struct ui_measure *out)
{
	struct ui_measure m = { 0 };
	uint64_t *plain[] = { &m.opened, &m.closed, &m.failed, &m.denied, &m.received, &m.sent, &m.open, &m.requests };

	if (bytes.len == 0 || bytes.ptr[0] != FORM)
		return -EINVAL;
	bytes = ap_slice_from(bytes, 1);
	for (size_t i = 0; i < AP_COUNTOF(plain); i++)
		if (!take(&bytes, plain[i]))
			return -EINVAL;
	if (bytes.len > 0 && !take_requests(&bytes, &m))
		return -EINVAL;
	*out = m;
	return 0;
}
