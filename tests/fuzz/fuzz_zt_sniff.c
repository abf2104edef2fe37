/*
 * fuzz_zt_sniff.c -- a connection's bytes, both sides, as an observer of HTTP sees them.  The input is parts: a byte whose highest bit
 * says which side speaks and whose others say how many bytes follow, less one.  Requests must not depend on how bytes were cut.
 */
#include <stdint.h>

#include "base/check.h"
#include "base/compiler.h"
#include "ztunnel/zt_sniff.h"

struct sum {
	uint64_t requests, statuses, bytes;
};

static void
add(const struct zt_sniff_request *r, void *arg)
{
	struct sum *s = arg;

	AP_CHECK(r->status >= 100 && r->status <= 999 && r->grpc_status >= -1);
	s->requests++;
	s->statuses += r->status;
	s->bytes += r->request_bytes + r->response_bytes;
}

/* Returns whether it is still watching. */
static bool
play(const uint8_t *data, size_t size, size_t step, struct sum *sum)
{
	struct zt_sniff *s = zt_sniff_new();
	bool alive = true;

	for (size_t i = 0; i < size && alive;) {
		enum zt_sniff_side side = (data[i] & 0x80) != 0 ? ZT_SNIFF_SERVER : ZT_SNIFF_CLIENT;
		size_t n = AP_MIN((size_t)(data[i] & 0x7f) + 1, size - i - 1);

		i++;
		for (size_t at = 0; at < n && alive; at += step)
			alive = zt_sniff_feed(s, side, data + i + at, AP_MIN(step, n - at), i, add, sum);
		i += n;
	}
	if (alive)
		zt_sniff_finish(s, size, add, sum);
	zt_sniff_free(&s);
	return alive;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sum whole = { 0 }, bytes = { 0 };

	AP_CHECK(play(data, size, SIZE_MAX / 2, &whole) == play(data, size, 1, &bytes));
	AP_CHECK(whole.requests == bytes.requests && whole.statuses == bytes.statuses && whole.bytes == bytes.bytes);
	return 0;
}
