/* wp_config.h -- the section `waypoint` of the Appliance: its schema and its decoded form. */
#ifndef WAYPOINT_WP_CONFIG_H
#define WAYPOINT_WP_CONFIG_H
#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/error.h"
#include "model/schema.h"
#include "waypoint/wp_match.h"

struct ap_appliance;

#define WP_PLAIN_MAX 16

/* A listener without HBONE in front of one host: HTTP/1.1 and HTTP/2 by prior knowledge. */
struct wp_plain {
	struct ap_addr at;
	uint16_t port; /* of the host */
	char *host;    /* "namespace/hostname" */
};

struct wp_settings {
	char *namespace_, *gateway, *account;
	struct ap_addr address;                /* where HBONE listens; its port may be 0 */
	bool hbone;                            /* there is a gateway */
	uint16_t metrics_port, readiness_port; /* 0: none */
	struct ap_addr status_address;
	struct wp_plain plain[WP_PLAIN_MAX];
	uint32_t plain_count;
	char *access_log; /* NULL: none */
	bool access_log_json;
	enum wp_normalise normalise;
	char *local_config; /* resources from a file instead of a control plane; NULL: the normal case */
};

extern const struct ap_schema wp_schema;

/* From a checked document. */
int wp_settings_decode(const struct ap_appliance *a, struct wp_settings *out, struct ap_error *err);
void wp_settings_done(struct wp_settings *s);

#endif
