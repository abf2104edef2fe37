/* h1.c -- HTTP/1 is not served yet: a connection that turns out to be HTTP/1 ends at once. */
#include "http/http_priv.h"

void
ap_h1_start(struct ap_http_conn *conn, struct ap_slice early)
{
	(void)early;
	ap_http_conn_end(conn, AP_STREAM_PROTOCOL, 0);
}

static void
h1_over(struct ap_http_conn *conn)
{
	(void)conn;
}

const struct ap_http_ops ap_http_h1_ops = { .version = AP_HTTP_1_1, .over = h1_over };
