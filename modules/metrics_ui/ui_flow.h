/*
 * ui_flow.h -- a flow: one reporter's view of one pair of workloads and a service, whatever series it is made of.
 *
 * Its key holds every field as text, so that the history can give the flow back after a restart.  "unknown" is empty here.
 */
#ifndef UI_FLOW_H
#define UI_FLOW_H
#include <stdbool.h>

#include "base/buf.h"
#include "base/slice.h"
#include "codec/prom.h"

enum ui_reporter { UI_SOURCE, UI_DESTINATION, UI_WAYPOINT };

struct ui_end {
	struct ap_slice namespace_, workload, app, version, principal;
};

struct ui_flow {
	enum ui_reporter reporter;
	struct ui_end src, dst;
	struct ap_slice service, service_name, service_namespace; /* destination_service: the host name */
	struct ap_slice protocol; /* tcp, http, grpc */
	struct ap_slice via;      /* namespace/name of the waypoint that reports; empty for ztunnels */
	bool mutual_tls;
};

/* The key of a sample's flow; -EINVAL when it has no reporter that we know. via: of the target; may be empty. */
int ui_flow_key(const struct ap_prom_sample *sample, struct ap_slice via, struct ap_buf *out);
/* Slices of the flow point into the key. -EINVAL when the key is not one. */
int ui_flow_parse(struct ap_slice key, struct ui_flow *out);
const char *ui_reporter_name(enum ui_reporter r);
/* "spiffe://td/ns/a/sa/b": a and b. False for anything else. */
bool ui_principal_parts(struct ap_slice principal, struct ap_slice *namespace_, struct ap_slice *account);

#endif
