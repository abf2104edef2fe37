/* trace.h -- the headers that tell who asks: W3C traceparent, Istio's baggage, and `forwarded`. */
#ifndef CODEC_TRACE_H
#define CODEC_TRACE_H
#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/buf.h"
#include "base/compiler.h"
#include "base/slice.h"

#define AP_TRACEPARENT_LEN 55

struct ap_traceparent {
	uint8_t trace_id[16];
	uint8_t span_id[8];
	uint8_t flags; /* bit 0: sampled */
};

/* Description of a workload. An empty slice means absent. */
struct ap_baggage {
	struct ap_slice cluster;       /* k8s.cluster.name */
	struct ap_slice ns;            /* k8s.namespace.name */
	struct ap_slice workload_type; /* deployment, cronjob, pod, job: names the key of workload_name */
	struct ap_slice workload_name; /* k8s.<type>.name */
	struct ap_slice service_name;  /* service.name */
	struct ap_slice version;       /* service.version */
	struct ap_slice region;        /* cloud.region */
	struct ap_slice zone;          /* cloud.availability_zone */
};

AP_PUBLIC_BEGIN
/* Exactly "00-<32 hex>-<16 hex>-<2 hex>" with ids that are not all zero; 0 or -EINVAL. */
int ap_traceparent_parse(struct ap_slice text, struct ap_traceparent *out);
void ap_traceparent_make(struct ap_traceparent *out); /* random ids, flags 0 */
/* A new span of the same trace. */
void ap_traceparent_step(struct ap_traceparent *t);
const char *ap_traceparent_format(const struct ap_traceparent *t, char out[AP_TRACEPARENT_LEN + 1]);

/* Append; empty members are left out. A value with a ',' in it is left out too, since baggage has no quoting here. */
void ap_baggage_format(const struct ap_baggage *b, struct ap_buf *out);
/* Take what one header line says; call it for each line. Unknown keys are passed over; slices point into the line. */
void ap_baggage_parse(struct ap_slice line, struct ap_baggage *inout);

/* for="<client>" and, when host is not empty, ;host=<host>. */
void ap_forwarded_format(const struct ap_addr *client, struct ap_slice host, struct ap_buf *out);
/* The host parameter; empty when absent or not ASCII. */
struct ap_slice ap_forwarded_host(struct ap_slice value);
AP_PUBLIC_END

#endif
