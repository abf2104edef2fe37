/* prom.h -- reads Prometheus and OpenMetrics text, one sample at a time. */
#ifndef CODEC_PROM_H
#define CODEC_PROM_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/error.h"
#include "base/slice.h"

#define AP_PROM_LABELS_MAX 64

enum ap_prom_type { AP_PROM_UNKNOWN, AP_PROM_COUNTER, AP_PROM_GAUGE, AP_PROM_HISTOGRAM, AP_PROM_SUMMARY };

struct ap_prom_label {
	struct ap_slice name, value; /* the value unescaped */
};

/* All slices live during the callback only. */
struct ap_prom_sample {
	struct ap_slice family; /* of the TYPE line that this sample belongs to; its own name when there is none */
	enum ap_prom_type type;
	struct ap_slice name; /* as written: with _total, _bucket, _sum, _count */
	const struct ap_prom_label *labels; /* in the order written */
	size_t label_count;
	double value; /* NaN and infinities included */
	bool has_timestamp;
	int64_t timestamp_ms; /* as in the Prometheus format; OpenMetrics' seconds are converted when there is a dot */
};

AP_PUBLIC_BEGIN
/*
 * Call fn for each sample; fn returns 0 to go on.  0, fn's other value, or -EINVAL with the line in err->at.  A sample
 * with more than AP_PROM_LABELS_MAX labels, a line beyond 64 KiB or more than max_samples samples are errors.
 */
int ap_prom_parse(struct ap_slice text, size_t max_samples,
    int (*fn)(void *arg, const struct ap_prom_sample *sample), void *arg, struct ap_error *err);
/* Value of a label; empty when there is none. */
struct ap_slice ap_prom_label(const struct ap_prom_sample *sample, const char *name);
AP_PUBLIC_END

#endif
