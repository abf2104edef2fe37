/* fuzz_grpc.c -- a body in pieces: the first byte says how small. */
#include <stdint.h>

#include "base/check.h"
#include "codec/grpc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ap_slice in = ap_slice((const char *)data, size), message;
	struct ap_grpc_reader r;
	struct ap_buf out, back;
	size_t step;
	int got = 0;

	if (size == 0)
		return 0;
	step = 1U + data[0];
	in = ap_slice_from(in, 1);
	ap_buf_init(&out, 4 * size + 1);
	ap_buf_init(&back, 4 * size + 1);
	ap_grpc_message_encode(in, &out);
	ap_grpc_message_decode(ap_buf_slice(&out), &back);
	AP_CHECK(ap_slice_eq(ap_buf_slice(&back), in));
	ap_grpc_message_decode(in, &back);
	ap_grpc_reader_init(&r, 1000);
	while (in.len > 0 && got >= 0) {
		AP_CHECK(ap_grpc_reader_feed(&r, ap_slice_sub(in, 0, step)) == 0);
		in = ap_slice_from(in, step);
		while ((got = ap_grpc_reader_next(&r, &message)) == 1)
			AP_CHECK(message.len <= 1000);
	}
	ap_grpc_reader_done(&r);
	ap_buf_done(&out);
	ap_buf_done(&back);
	return 0;
}
