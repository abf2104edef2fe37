/*
 * linger.c -- a connection's last moments: what we said last must reach the peer.
 *
 * A socket that is closed while bytes of the peer lie unread is answered by a reset, and a reset takes from the peer what it
 * has not read yet: the final GOAWAY, the end of an answer.  So the transport is only shut down, what still comes is
 * dropped, and it is closed when the peer ended too, or said too much, or the time is over.  Owns the transport.
 */
#include "base/mem.h"
#include "http/http_priv.h"

#define LINGER_MS 2000
#define DROP_MAX ((size_t)1024 * 1024)

struct lingering {
	struct ap_stream *transport;
	struct ap_timer deadline;
	struct ap_loop_exit at_exit;
	size_t dropped;
};

static void
end(struct lingering *l)
{
	ap_timer_stop(&l->deadline);
	ap_loop_exit_cancel(&l->at_exit);
	ap_stream_close(&l->transport, AP_STREAM_CLOSE_CLEAN);
	ap_free(&l);
}

static void
on_transport(struct ap_stream *s, unsigned events, void *arg)
{
	struct lingering *l = arg;
	char sink[16384];
	ssize_t n = AP_STREAM_ERROR;

	if (!(events & AP_STREAM_FAILED))
		while ((n = ap_stream_read(s, sink, sizeof(sink))) > 0)
			if ((l->dropped += (size_t)n) > DROP_MAX)
				break;
	if (n != AP_STREAM_AGAIN)
		end(l);
}

static void
on_deadline(struct ap_timer *t, void *arg)
{
	(void)t;
	end(arg);
}

static void
on_exit_of_loop(struct ap_loop_exit *e)
{
	end(AP_CONTAINER_OF(e, struct lingering, at_exit));
}

void
ap_http_linger(struct ap_stream *transport)
{
	struct lingering *l = ap_new(struct lingering);

	l->transport = transport;
	ap_timer_init(&l->deadline, transport->loop, on_deadline, l);
	ap_timer_start(&l->deadline, LINGER_MS);
	ap_loop_at_exit(transport->loop, &l->at_exit, on_exit_of_loop);
	ap_stream_set_callback(transport, on_transport, l);
	ap_stream_shutdown(transport);
	ap_stream_want(transport, AP_STREAM_READABLE);
}
