/*
 * wp_pump.c -- a source that can lend its bytes in place gives them to the sink's write; from another the sink draws into its own
 * buffer, now or in its flush at the end of the turn (net/stream.h).  It draws from a stand-in, so that every byte is
 * counted here whoever takes it.  One thread, the worker's.
 */
#include "waypoint/wp_pump.h"

#include "base/compiler.h"

#define ROUND_MAX ((size_t)256 * 1024) /* then others have their turn */
#define VECTORS 16

static ssize_t
stand_in_read(struct ap_stream *s, void *buf, size_t size)
{
	struct wp_pump *p = AP_CONTAINER_OF(s, struct wp_pump, stand_in);
	ssize_t n = ap_stream_read(p->source, buf, size);

	if (n > 0) {
		p->bytes += (uint64_t)n;
		return n;
	}
	p->source_ended |= n == AP_STREAM_EOF;
	p->source_failed |= n == AP_STREAM_ERROR;
	if (n != AP_STREAM_AGAIN && !p->running)
		ap_task_schedule(p->source->loop, p->wake);
	return n;
}

static const struct ap_stream_ops stand_in_ops = { .name = "pump", .read = stand_in_read };

void
wp_pump_init(struct wp_pump *p, struct ap_stream *source, struct ap_stream *sink, struct ap_slice first,
    bool source_ended, struct ap_task *wake)
{
	*p = (struct wp_pump){
		.source = source,
		.sink = sink,
		.first = first,
		.source_ended = source_ended,
		.wake = wake,
	};
	ap_stream_init(&p->stand_in, &stand_in_ops, sink->loop, NULL);
	p->stand_in.is_open = true;
}

void
wp_pump_done(struct wp_pump *p)
{
	p->stand_in.is_closed = true;
}

static struct iovec
vector_of(struct ap_slice s)
{
	union {
		const char *in;
		void *out;
	} u = { .in = s.ptr };

	return (struct iovec){ .iov_base = u.out, .iov_len = s.len };
}

static enum wp_pump_state
source_state(struct wp_pump *p, ssize_t n)
{
	if (n == AP_STREAM_EOF || p->source_ended) {
		p->source_ended = true;
		return WP_PUMP_END;
	}
	if (n == AP_STREAM_AGAIN)
		return WP_PUMP_READING;
	return WP_PUMP_SOURCE_FAILED;
}

/* One step; > 0: bytes moved, 0: *state says what is next. */
static size_t
step_lend(struct wp_pump *p, enum wp_pump_state *state)
{
	struct iovec iov[VECTORS];
	int count = p->source->ops->peek(p->source, iov, VECTORS);
	ssize_t n;

	if (count <= 0) {
		*state = source_state(p, count);
		return 0;
	}
	n = ap_stream_writev(p->sink, iov, count);
	if (n <= 0) {
		*state = n == AP_STREAM_ERROR ? WP_PUMP_SINK_FAILED : WP_PUMP_WRITING;
		return 0;
	}
	p->source->ops->consume(p->source, (size_t)n);
	p->bytes += (uint64_t)n;
	return (size_t)n;
}

/* A sink whose announced length is written takes no more draws; then only the source's end is still to be seen. */
static enum wp_pump_state
sink_state(struct wp_pump *p)
{
	char more;
	ssize_t n = ap_stream_read(p->source, &more, 1);

	return n > 0 ? WP_PUMP_SINK_FAILED : source_state(p, n);
}

static size_t
step_draw(struct wp_pump *p, enum wp_pump_state *state)
{
	ssize_t n = p->sink->ops->draw(p->sink, &p->stand_in, ROUND_MAX);

	if (n > 0)
		return (size_t)n;
	if (n == AP_STREAM_FULL)
		*state = WP_PUMP_WRITING;
	else if (n == AP_STREAM_ERROR)
		*state = p->source_failed ? WP_PUMP_SOURCE_FAILED : sink_state(p);
	else
		*state = source_state(p, n);
	return 0;
}

static enum wp_pump_state
first_write(struct wp_pump *p)
{
	while (p->first.len > 0) {
		struct iovec iov = vector_of(p->first);
		ssize_t n = ap_stream_writev(p->sink, &iov, 1);

		if (n == AP_STREAM_ERROR)
			return WP_PUMP_SINK_FAILED;
		if (n <= 0)
			return WP_PUMP_WRITING;
		p->bytes += (uint64_t)n;
		p->first = ap_slice_from(p->first, (size_t)n);
	}
	return WP_PUMP_END;
}

enum wp_pump_state
wp_pump_run(struct wp_pump *p)
{
	enum wp_pump_state state = first_write(p);
	size_t round = 0, n;

	if (state != WP_PUMP_END)
		return state;
	if (p->source_ended)
		return WP_PUMP_END;
	if (p->source_failed)
		return WP_PUMP_SOURCE_FAILED;
	p->running = true;
	for (n = 1; n > 0 && round < ROUND_MAX; round += n) {
		state = WP_PUMP_READING;
		n = p->source->ops->peek != NULL ? step_lend(p, &state) : step_draw(p, &state);
	}
	p->running = false;
	return state;
}
