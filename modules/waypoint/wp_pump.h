/* wp_pump.h -- moves one message's body from a stream to another as far as both go, without a copy of its own. */
#ifndef WAYPOINT_WP_PUMP_H
#define WAYPOINT_WP_PUMP_H
#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "event/loop.h"
#include "net/stream.h"

enum wp_pump_state {
	WP_PUMP_READING, /* want READABLE of the source */
	WP_PUMP_WRITING, /* want WRITABLE of the sink */
	WP_PUMP_END,     /* the source is at EOF; the sink was not shut down */
	WP_PUMP_SOURCE_FAILED,
	WP_PUMP_SINK_FAILED,
};

struct wp_pump {
	struct ap_stream stand_in; /* what the sink draws from: the source, counted */
	struct ap_stream *source, *sink;
	struct ap_slice first; /* bytes to write before what the source gives */
	bool source_ended;     /* EOF was read already */
	bool source_failed;
	bool running;
	uint64_t bytes;       /* taken from first and source */
	struct ap_task *wake; /* scheduled when the sink, drawing at the end of the turn, met the source's end */
};

/* source may be NULL when source_ended. Zeroed is no pump. */
void wp_pump_init(struct wp_pump *p, struct ap_stream *source, struct ap_stream *sink, struct ap_slice first,
    bool source_ended, struct ap_task *wake);
enum wp_pump_state wp_pump_run(struct wp_pump *p);
/* Before either stream is closed: a sink that would draw later leaves the source alone. Fine when it is no pump. */
void wp_pump_done(struct wp_pump *p);

#endif
