/* zt_dial.h -- the way to the next hop of an outbound connection: plain TCP, one tunnel, or a tunnel in a tunnel. */
#ifndef ZTUNNEL_ZT_DIAL_H
#define ZTUNNEL_ZT_DIAL_H
struct zt_conn;
struct zt_route;

/* Carry out a route; ends the connection when it refuses. */
void zt_dial(struct zt_conn *c, const struct zt_route *r);
/* Plain TCP to c->actual. */
void zt_dial_passthrough(struct zt_conn *c);
/* The record ends: forget what the attempt kept. Fine when there is none. */
void zt_attempt_drop(struct zt_conn *c);

#endif
