/* f_fault.c -- injected delays and aborts, in Envoy's order and words. */
#include "base/rand.h"
#include "waypoint/wp_request.h"

static bool
dice_say(uint32_t per_million)
{
	return per_million > 0 && ap_rand_below(1000000) < per_million;
}

static bool
abort_request(struct wp_request *r)
{
	const struct wp_fault *f = &r->route->fault;

	if (!dice_say(f->abort_per_million) || (f->abort_status == 0 && f->abort_grpc_status == 0))
		return false;
	if (f->abort_status == 0) { /* a gRPC status, for any client */
		r->is_grpc = true;
		r->grpc_status = f->abort_grpc_status;
	}
	wp_answer(r, f->abort_status == 0 ? 503 : f->abort_status, WP_FLAG(FAULT_INJECTED), "fault_filter_abort",
	    AP_S("fault filter abort"));
	return true;
}

static void
on_delay(struct ap_timer *t, void *arg)
{
	struct wp_request *r = arg;

	(void)t;
	if (!abort_request(r))
		wp_request_route(r);
}

bool
f_fault_request(struct wp_request *r)
{
	const struct wp_fault *f = &r->route->fault;

	if (f->delay_ms > 0 && dice_say(f->delay_per_million)) {
		r->flags |= WP_FLAG(DELAY_INJECTED);
		ap_timer_init(&r->wait_timer, r->ww->loop, on_delay, r);
		ap_timer_start(&r->wait_timer, f->delay_ms);
		return true;
	}
	return abort_request(r);
}
