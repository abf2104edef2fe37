/*
 * signals.c -- libevent turns a signal into an event of the loop; this gives it our callback form.  One loop of the
 * process may watch signals: the main thread's.
 */
#include "event/signals.h"

#include "base/check.h"
#include "base/mem.h"
#include "event/loop.h"

struct ap_signal {
	struct event ev;
	int signo;
	void (*fn)(int signo, void *arg);
	void *arg;
};

static void
on_signal(evutil_socket_t signo, short what, void *arg)
{
	struct ap_signal *s = arg;

	(void)signo;
	(void)what;
	s->fn(s->signo, s->arg);
}

struct ap_signal *
ap_signal_watch(struct ap_loop *loop, int signo, void (*fn)(int signo, void *arg), void *arg)
{
	struct ap_signal *s = ap_new(struct ap_signal);

	s->signo = signo;
	s->fn = fn;
	s->arg = arg;
	AP_CHECK(event_assign(&s->ev, ap_loop_base(loop), signo, EV_SIGNAL | EV_PERSIST, on_signal, s) == 0);
	AP_CHECK(event_add(&s->ev, NULL) == 0);
	return s;
}

void
ap_signal_free(struct ap_signal **s)
{
	if (*s == NULL)
		return;
	(void)event_del(&(*s)->ev);
	ap_free(s);
}
