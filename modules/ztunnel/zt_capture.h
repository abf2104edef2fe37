/* zt_capture.h -- the capture rules in the kernel: installed, kept alive, kept in step with the mesh, removed. Main thread. */
#ifndef ZTUNNEL_ZT_CAPTURE_H
#define ZTUNNEL_ZT_CAPTURE_H
#include "base/buf.h"
#include "base/error.h"

struct zt;
struct zt_capture;

/* Prepare; nothing is captured yet. Sets zt->can_spoof. In mode off it does nothing. */
struct zt_capture *zt_capture_new(struct zt *zt, struct ap_error *err);
/* The listeners are there: install the table and begin the heartbeat. */
int zt_capture_install(struct zt_capture *c, struct ap_error *err);
/* The mesh changed: bring the sets up to date, soon. */
void zt_capture_mesh_changed(struct zt_capture *c);
/* The config changed. */
int zt_capture_reload(struct zt_capture *c, struct ap_error *err);
/* New connections go as if we were not there; those that live are not touched. */
void zt_capture_pause(struct zt_capture *c);
/* Take the rules away: connections that were captured end. */
void zt_capture_remove(struct zt_capture *c);
void zt_capture_free(struct zt_capture **c);
/* For the admin socket: what is captured, JSON. */
void zt_capture_dump(struct zt_capture *c, struct ap_buf *out);

#endif
