/*
 * api.h -- the resource API: Kubernetes' REST dialect over a Unix socket (local root) and over TLS (certificates, tokens).
 *
 * The worker's thread.
 */
#ifndef API_API_H
#define API_API_H
#include <stdbool.h>

#include "base/error.h"
#include "base/slice.h"

struct ap_tls;
struct cp;
struct cp_api;

/* Listen on <run_dir>/api.sock and, when tls is given, at settings.api_listen; tls is counted for the API. NULL with err. */
struct cp_api *cp_api_start(struct cp *cp, struct ap_tls *tls, struct ap_error *err);
/* New connections use this context; those that are open keep theirs. */
void cp_api_set_tls(struct cp_api *api, struct ap_tls *tls);
/* No new connections; watches end, so that clients come back to whoever serves then. */
void cp_api_drain(struct cp_api *api);
bool cp_api_idle(const struct cp_api *api);
void cp_api_stop(struct cp_api **api);
/* Write <state_dir>/kubeconfig for the administrator: server, roots, token. */
int cp_api_write_kubeconfig(struct cp_api *api, struct ap_slice roots_pem, struct ap_error *err);

#endif
