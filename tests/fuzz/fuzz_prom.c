/* fuzz_prom.c -- samples of hostile expositions. */
#include <stdint.h>

#include "base/check.h"
#include "codec/prom.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int
count(void *arg, const struct ap_prom_sample *s)
{
	size_t *sum = arg;

	AP_CHECK(s->name.len > 0 && s->family.len > 0 && s->label_count <= AP_PROM_LABELS_MAX);
	for (size_t i = 0; i < s->label_count; i++)
		for (size_t j = 0; j < s->labels[i].value.len; j++)
			*sum += (unsigned char)s->labels[i].value.ptr[j];
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ap_error err;
	size_t sum = 0;

	ap_prom_parse(ap_slice((const char *)data, size), 1000, count, &sum, &err);
	return 0;
}
