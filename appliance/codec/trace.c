/*
 * trace.c -- traceparent, baggage and forwarded, as Istio's ambient data plane writes and reads them.
 *
 * The forms are fixed by peers that exist (ztunnel, Envoy): no blanks and no percent coding in baggage, an unquoted
 * host in forwarded.  Pure functions but for the random ids.
 */
#include "codec/trace.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/rand.h"

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; /* the header is lower case by its standard */
}

/* 0 when size bytes were read and, if must_be_set, are not all zero. */
static int
read_hex(const char *text, uint8_t *out, size_t size, bool must_be_set)
{
	uint8_t all = 0;

	for (size_t i = 0; i < size; i++) {
		int high = hex_value(text[2 * i]), low = hex_value(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return -EINVAL;
		out[i] = (uint8_t)(high << 4 | low);
		all |= out[i];
	}
	return must_be_set && all == 0 ? -EINVAL : 0;
}

int
ap_traceparent_parse(struct ap_slice text, struct ap_traceparent *out)
{
	struct ap_traceparent t;
	const char *p = text.ptr;

	if (text.len != AP_TRACEPARENT_LEN || memcmp(p, "00-", 3) != 0 || p[35] != '-' || p[52] != '-' ||
	    read_hex(p + 3, t.trace_id, sizeof(t.trace_id), true) < 0 ||
	    read_hex(p + 36, t.span_id, sizeof(t.span_id), true) < 0 || read_hex(p + 53, &t.flags, 1, false) < 0)
		return -EINVAL;
	*out = t;
	return 0;
}

static void
fill_random(uint8_t *out, size_t size)
{
	for (size_t i = 0; i < size; i += 8) {
		uint64_t v = ap_rand_fast();

		memcpy(out + i, &v, 8);
	}
	out[0] |= 1; /* never all zero */
}

void
ap_traceparent_make(struct ap_traceparent *out)
{
	fill_random(out->trace_id, sizeof(out->trace_id));
	fill_random(out->span_id, sizeof(out->span_id));
	out->flags = 0;
}

void
ap_traceparent_step(struct ap_traceparent *t)
{
	fill_random(t->span_id, sizeof(t->span_id));
}

const char *
ap_traceparent_format(const struct ap_traceparent *t, char out[AP_TRACEPARENT_LEN + 1])
{
	static const char digits[] = "0123456789abcdef";
	const struct {
		const uint8_t *bytes;
		size_t size;
	} parts[] = { { t->trace_id, sizeof(t->trace_id) }, { t->span_id, sizeof(t->span_id) }, { &t->flags, 1 } };
	char *p = out;

	*p++ = '0';
	*p++ = '0';
	for (size_t i = 0; i < AP_COUNTOF(parts); i++) {
		*p++ = '-';
		for (size_t j = 0; j < parts[i].size; j++) {
			*p++ = digits[parts[i].bytes[j] >> 4];
			*p++ = digits[parts[i].bytes[j] & 15];
		}
	}
	*p = '\0';
	return out;
}

static const char *const workload_types[] = { "deployment", "cronjob", "pod", "job" };

static bool
is_baggage_value(struct ap_slice value)
{
	for (size_t i = 0; i < value.len; i++)
		if (value.ptr[i] <= 0x20 || value.ptr[i] > 0x7e || value.ptr[i] == ',')
			return false;
	return value.len > 0;
}

static void
add_member(struct ap_buf *out, size_t start, const char *key, struct ap_slice value)
{
	if (is_baggage_value(value))
		ap_buf_printf(out, "%s%s=%.*s", out->len > start ? "," : "", key, AP_FMT(value));
}

void
ap_baggage_format(const struct ap_baggage *b, struct ap_buf *out)
{
	size_t start = out->len;
	char key[32];

	add_member(out, start, "k8s.cluster.name", b->cluster);
	add_member(out, start, "k8s.namespace.name", b->ns);
	for (size_t i = 0; i < AP_COUNTOF(workload_types); i++) {
		if (!ap_slice_eq_text(b->workload_type, workload_types[i]))
			continue;
		snprintf(key, sizeof(key), "k8s.%s.name", workload_types[i]);
		add_member(out, start, key, b->workload_name);
	}
	add_member(out, start, "service.name", b->service_name);
	add_member(out, start, "service.version", b->version);
	add_member(out, start, "cloud.region", b->region);
	add_member(out, start, "cloud.availability_zone", b->zone);
}

/* "k8s.<type>.name": the type's own text, or NULL. */
static const char *
workload_type_of(struct ap_slice key)
{
	struct ap_slice type;

	if (!ap_slice_starts(key, AP_S("k8s.")) || !ap_slice_ends(key, AP_S(".name")) || key.len < 9)
		return NULL;
	type = ap_slice_sub(key, 4, key.len - 9);
	for (size_t i = 0; i < AP_COUNTOF(workload_types); i++)
		if (ap_slice_eq_text(type, workload_types[i]))
			return workload_types[i];
	return NULL;
}

void
ap_baggage_parse(struct ap_slice line, struct ap_baggage *inout)
{
	const struct {
		const char *key;
		struct ap_slice *member;
	} members[] = {
		{ "k8s.cluster.name", &inout->cluster },
		{ "k8s.namespace.name", &inout->ns },
		{ "service.name", &inout->service_name },
		{ "service.version", &inout->version },
		{ "cloud.region", &inout->region },
		{ "cloud.availability_zone", &inout->zone },
	};

	while (line.ptr != NULL) {
		struct ap_slice value = ap_slice_cut(&line, ',');
		struct ap_slice key = ap_slice_trim(ap_slice_cut(&value, '='));
		const char *type = workload_type_of(key);

		value = ap_slice_trim(value);
		if (value.len == 0)
			continue;
		if (type != NULL) {
			inout->workload_type = ap_slice_of(type);
			inout->workload_name = value;
		}
		for (size_t i = 0; i < AP_COUNTOF(members); i++)
			if (ap_slice_eq_text(key, members[i].key))
				*members[i].member = value;
	}
}

void
ap_forwarded_format(const struct ap_addr *client, struct ap_slice host, struct ap_buf *out)
{
	char text[AP_ADDR_TEXT];

	ap_buf_printf(out, "for=\"%s\"", ap_addr_format(client, text, sizeof(text)));
	if (host.len > 0)
		ap_buf_printf(out, ";host=%.*s", AP_FMT(host));
}

struct ap_slice
ap_forwarded_host(struct ap_slice value)
{
	while (value.ptr != NULL) {
		struct ap_slice part = ap_slice_trim(ap_slice_cut(&value, ';'));

		if (!ap_slice_eq_nocase(ap_slice_sub(part, 0, 5), AP_S("host=")))
			continue;
		part = ap_slice_from(part, 5);
		if (part.len >= 2 && part.ptr[0] == '"' && part.ptr[part.len - 1] == '"')
			part = ap_slice_sub(part, 1, part.len - 2);
		for (size_t i = 0; i < part.len; i++)
			if (part.ptr[i] <= 0x20 || part.ptr[i] > 0x7e)
				return AP_SLICE_NONE;
		return part;
	}
	return AP_SLICE_NONE;
}
