/* wm_client.h -- requests to the resource API over its Unix socket: one HTTP/2 connection, re-made when it is lost. */
#ifndef WAYPOINT_MANAGER_WM_CLIENT_H
#define WAYPOINT_MANAGER_WM_CLIENT_H
#include <stdbool.h>

#include "base/slice.h"

struct ap_loop;
struct wm_client;

/* The whole answer; status 0: the API could not be asked. */
typedef void (*wm_answer_fn)(int status, struct ap_slice body, void *arg);
/* One line of a stream, without its end; then once with ended set. */
typedef void (*wm_line_fn)(struct ap_slice line, bool ended, void *arg);

struct wm_client *wm_client_new(struct ap_loop *loop, const char *address);
/* Outstanding requests are answered with status 0, streams ended, before this returns. */
void wm_client_free(struct wm_client **c);
/* content_type NULL: no body. The callback never runs inside this call. */
void wm_request(struct wm_client *c, const char *method, const char *path, const char *content_type, struct ap_slice body,
    wm_answer_fn fn, void *arg);
/* GET whose answer is lines without end (a watch). */
void wm_stream(struct wm_client *c, const char *path, wm_line_fn fn, void *arg);

#endif
