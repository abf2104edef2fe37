/* zt_role.h -- what zt_http.c asks of zt_role.c. */
#ifndef ZTUNNEL_ZT_ROLE_H
#define ZTUNNEL_ZT_ROLE_H
#include <stdbool.h>

struct ap_buf;

/* The role's readiness; false: why names what is pending. */
bool zt_is_ready(const void *self, struct ap_buf *why);

#endif
