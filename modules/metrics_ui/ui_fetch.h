/*
 * ui_fetch.h -- one GET over HTTP/1.1 on a fresh connection, bounded in bytes and time; the whole body, or line by line as it
 * comes (for watches).  One loop.
 */
#ifndef UI_FETCH_H
#define UI_FETCH_H
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/slice.h"

struct ap_loop;
struct ui_fetch;

/* status 0: it failed, and `why` is a sentence. Else the response is whole. Runs once, from the loop; the fetch is gone then. */
typedef void (*ui_fetch_fn)(void *arg, int status, struct ap_slice body, const char *why);

struct ui_fetch_request {
	struct ap_loop *loop;
	struct ap_addr to;
	const char *authority, *path, *accept; /* copied */
	size_t max_body;     /* of the whole, or of one line */
	uint64_t timeout_ms; /* for the whole; with `line`: for the head, and then for silence */
	/* May be NULL. Each line of a 200 without its newline; the body at the end is empty then. */
	void (*line)(void *arg, struct ap_slice line);
};

struct ui_fetch *ui_fetch_start(const struct ui_fetch_request *r, ui_fetch_fn fn, void *arg);
/* No callback any more. NULL is fine. */
void ui_fetch_cancel(struct ui_fetch **f);

#endif
