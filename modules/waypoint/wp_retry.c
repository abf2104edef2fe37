/* wp_retry.c -- which ends of an attempt are worth another, in Envoy's words, and how long to wait before it.  Pure. */
#include "base/compiler.h"
#include "waypoint/wp_request.h"

static bool
grpc_wants(uint32_t on, int status)
{
	switch (status) {
	case 1:
		return (on & WP_RETRY_GRPC_CANCELLED) != 0;
	case 4:
		return (on & WP_RETRY_GRPC_DEADLINE) != 0;
	case 8:
		return (on & WP_RETRY_GRPC_EXHAUSTED) != 0;
	case 13:
		return (on & WP_RETRY_GRPC_INTERNAL) != 0;
	case 14:
		return (on & WP_RETRY_GRPC_UNAVAILABLE) != 0;
	default:
		return false;
	}
}

bool
wp_retry_wants_status(const struct wp_retry *retry, int status, int grpc_status)
{
	if ((retry->on & WP_RETRY_5XX) && status >= 500)
		return true;
	if ((retry->on & WP_RETRY_GATEWAY_ERROR) && status >= 502 && status <= 504)
		return true;
	if ((retry->on & WP_RETRY_4XX) && status == 409)
		return true;
	if (retry->on & WP_RETRY_CODES)
		for (uint32_t i = 0; i < retry->code_count; i++)
			if (retry->codes[i] == (uint32_t)status)
				return true;
	return grpc_wants(retry->on, grpc_status);
}

bool
wp_retry_wants_failure(const struct wp_retry *retry, bool connecting, bool replayable, bool refused)
{
	uint32_t on = retry->on;

	if (connecting)
		return (on & (WP_RETRY_CONNECT | WP_RETRY_5XX | WP_RETRY_GATEWAY_ERROR | WP_RETRY_RESET)) != 0;
	if (refused && (on & WP_RETRY_REFUSED))
		return true;
	if (replayable && (on & WP_RETRY_RESET_BEFORE))
		return true;
	return (on & (WP_RETRY_RESET | WP_RETRY_5XX | WP_RETRY_GATEWAY_ERROR)) != 0;
}

/* Full jitter over a base that doubles, at most ten times the base. */
uint64_t
wp_retry_backoff_ms(const struct wp_retry *retry, uint32_t attempt, uint64_t dice)
{
	uint64_t base = retry->backoff_ms == 0 ? 25 : retry->backoff_ms;
	uint64_t most = AP_MIN(base << AP_MIN(attempt, 10U), base * 10);

	return dice % (most + 1);
}
