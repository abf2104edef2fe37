/* side.h -- one end of a connection in a test: writes a pattern, checks the pattern it reads, notes how it ended. */
#ifndef TESTS_SIDE_H
#define TESTS_SIDE_H
#include <stdio.h>
#include <string.h>

#include "../test.h"

#include "base/clock.h"
#include "event/loop.h"
#include "net/tls.h"

/* One end. Reads all it is given, when told to read; writes `left` bytes of a pattern. */
struct side {
	struct ap_stream *s;
	unsigned opens, fails;
	bool eof, reads, closes_on_fail;
	int error;
	uint64_t got, bad;
	uint64_t sent, to_send;
	bool ends; /* shutdown when all was sent */
	char why[200];
};

static inline char
pattern(uint64_t at)
{
	return (char)(at * 7 + at / 251);
}

static inline void
side_write(struct side *side)
{
	char block[20000];

	while (side->sent < side->to_send) {
		size_t size = AP_MIN(sizeof(block), (size_t)(side->to_send - side->sent));
		struct iovec iov[3];
		ssize_t n;

		for (size_t i = 0; i < size; i++)
			block[i] = pattern(side->sent + i);
		iov[0] = (struct iovec){ .iov_base = block, .iov_len = AP_MIN(size, 9) };
		iov[1] = (struct iovec){ .iov_base = block + iov[0].iov_len, .iov_len = 0 };
		iov[2] = (struct iovec){ .iov_base = block + iov[0].iov_len, .iov_len = size - iov[0].iov_len };
		n = ap_stream_writev(side->s, iov, 3);
		if (n == AP_STREAM_ERROR) {
			side->error = side->s->error;
			return;
		}
		if (n == AP_STREAM_AGAIN)
			break;
		side->sent += (uint64_t)n;
	}
	if (side->sent == side->to_send && side->ends) {
		ap_stream_shutdown(side->s);
		side->ends = false;
	}
	ap_stream_want(side->s, (side->reads && !side->eof ? AP_STREAM_READABLE : 0) |
				    (side->sent < side->to_send ? AP_STREAM_WRITABLE : 0));
}

static inline void
side_read(struct side *side)
{
	static _Thread_local char block[100000];
	ssize_t n;

	while ((n = ap_stream_read(side->s, block, sizeof(block))) > 0)
		for (ssize_t i = 0; i < n; i++)
			side->bad += block[i] != pattern(side->got++);
	if (n == AP_STREAM_EOF) {
		side->eof = true;
		ap_stream_want(side->s, side->s->wanted & ~AP_STREAM_READABLE);
	} else if (n == AP_STREAM_ERROR) {
		side->error = side->s->error;
		(void)snprintf(
		    side->why, sizeof(side->why), "%s", ap_stream_is_tls(side->s) ? ap_tls_error_text(side->s) : "");
		ap_stream_want(side->s, 0);
	}
}

static inline void
side_fn(struct ap_stream *s, unsigned events, void *arg)
{
	struct side *side = arg;

	if ((events & AP_STREAM_FAILED) != 0) {
		side->fails++;
		side->error = s->error;
		(void)snprintf(side->why, sizeof(side->why), "%s", ap_stream_is_tls(s) ? ap_tls_error_text(s) : "");
		if (side->closes_on_fail)
			ap_stream_close(&side->s, AP_STREAM_CLOSE_CLEAN);
		return;
	}
	if ((events & AP_STREAM_OPEN) != 0) {
		side->opens++;
		side_write(side);
	}
	if ((events & AP_STREAM_READABLE) != 0)
		side_read(side);
	if ((events & AP_STREAM_WRITABLE) != 0)
		side_write(side);
}

#define TURN_UNTIL(d_, cond_)                                       \
	do {                                                        \
		uint64_t until_ = ap_clock_mono_ms() + 20000;       \
		while (!(cond_)) {                                  \
			ap_loop_turn((d_)->loop, 50);               \
			if (ap_clock_mono_ms() > until_)            \
				fail_msg("never came: %s", #cond_); \
		}                                                   \
	} while (0)

#endif
