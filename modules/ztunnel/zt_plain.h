/* zt_plain.h -- plaintext that reaches a program of this host. */
#ifndef ZTUNNEL_ZT_PLAIN_H
#define ZTUNNEL_ZT_PLAIN_H
struct zt_conn;

/* A connection with down and dst set: policy without an identity decides, then on to dst. */
void zt_plain_continue(struct zt_conn *c);

#endif
