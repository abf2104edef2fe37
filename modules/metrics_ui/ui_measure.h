/* ui_measure.h -- what was counted of one flow over some time: connections, bytes, requests, codes, response times. A value. */
#ifndef UI_MEASURE_H
#define UI_MEASURE_H
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

#define UI_BOUND_COUNT 19 /* of Istio's request duration histogram */
#define UI_CODES_MAX 12   /* response codes told apart; further ones count as the class' x99 */

struct ui_code {
	uint16_t code; /* 0: no answer */
	uint64_t count;
};

struct ui_measure {
	uint64_t opened, closed, failed, denied; /* connections; the denied ones are among the failed */
	uint64_t received, sent;                 /* bytes, from the server's viewpoint (istio-ambient.md 6.3) */
	uint64_t requests, request_bytes, response_bytes;
	uint64_t durations;             /* requests whose time is known */
	double duration_sum;            /* ms */
	uint64_t at_most[UI_BOUND_COUNT]; /* of durations: those up to ui_bounds[i] */
	struct ui_code codes[UI_CODES_MAX];
	uint32_t code_count;
	uint64_t open; /* connections at the end of the time; not a count of events */
};

extern const double ui_bounds[UI_BOUND_COUNT]; /* ms */

/* Counts of both; `open` stays. */
void ui_measure_add(struct ui_measure *to, const struct ui_measure *m);
void ui_measure_add_code(struct ui_measure *m, uint16_t code, uint64_t count);
bool ui_measure_is_zero(const struct ui_measure *m); /* `open` too */
/* Requests with a code of that class: 1..5; 0: no answer. */
uint64_t ui_measure_class(const struct ui_measure *m, unsigned first_digit);
/* As Prometheus' histogram_quantile: linear inside the bucket. Milliseconds; -1 when nothing was measured. */
double ui_measure_quantile(const struct ui_measure *m, double q);
/* Part `i` of all by weights[0..count): whole numbers whose sum is exactly the whole. */
struct ui_measure ui_measure_part(const struct ui_measure *m, const uint64_t *weights, size_t count, size_t i);

/* Compact bytes for the history, and back; a form that is not understood is -EINVAL. */
void ui_measure_encode(const struct ui_measure *m, struct ap_buf *out);
int ui_measure_decode(struct ap_slice bytes, struct ui_measure *out);

#endif
