/*
 * cp_files.c -- the resources of the YAML file, applied at start and at reload.
 *
 * The file adds and replaces; it does not remove, for the store also holds what came through the API.  An object that is
 * refused is named with its place, and the others are applied: a mesh must not lose its routes to a typing error.
 */
#include <errno.h>
#include <stdio.h>

#include "base/log.h"
#include "base/mem.h"
#include "codec/yaml.h"
#include "control_plane/cp_store.h"
#include "model/appliance.h"

AP_LOG_MODULE(cp_files);

static void
log_errors(const struct ap_errors *errs)
{
	char line[640];

	for (size_t i = 0; i < errs->count; i++)
		LOG_ERROR(NULL, "refused: %s", ap_error_format(&errs->items[i], line, sizeof(line)));
	if (errs->total > errs->count)
		LOG_ERROR(NULL, "%zu more problems are not shown", errs->total - errs->count);
}

void
cp_apply_file(struct cp *cp, struct ap_config *config)
{
	const struct ap_yaml_docs *docs = ap_config_resources(config);
	struct ap_error err = { 0 };
	uint32_t applied = 0, refused = 0;

	cp_batch_begin(cp);
	for (uint32_t i = 0; i < docs->count; i++) {
		struct ap_errors errs = { 0 };

		if (cp_apply(cp, &docs->items[i], 1, 0, &errs) == 0)
			applied++;
		else
			refused++;
		log_errors(&errs);
		ap_errors_done(&errs);
	}
	if (cp_batch_end(cp, &err) != 0)
		LOG_ERROR(NULL, "the resources of %s are not stored: %s", ap_config_path(config), err.text);
	else if (docs->count > 0)
		LOG_INFO(NULL, "%s: %u resources applied, %u refused", ap_config_path(config), applied, refused);
}

static const char defaults[] = "apiVersion: v1\n"
			       "kind: Namespace\n"
			       "metadata: {name: default}\n"
			       "---\n"
			       "apiVersion: v1\n"
			       "kind: Namespace\n"
			       "metadata: {name: ambit-system}\n"
			       "---\n"
			       "apiVersion: gateway.networking.k8s.io/v1\n"
			       "kind: GatewayClass\n"
			       "metadata: {name: istio-waypoint}\n"
			       "spec:\n"
			       "  controllerName: ambit.mesh/waypoint-manager\n"
			       "  description: Waypoints that Ambit runs.\n";

void
cp_apply_defaults(struct cp *cp)
{
	struct ap_arena *arena = ap_arena_new((size_t)256 * 1024);
	struct ap_yaml_docs docs = { 0 };
	struct ap_errors errs = { 0 };
	struct ap_error err = { 0 };

	if (ap_yaml_parse(arena, "defaults", AP_S(defaults), &docs, &err) != 0)
		LOG_ERROR(NULL, "defaults: %s", err.text);
	else if (cp_apply(cp, docs.items, docs.count, CP_APPLY_KEEP_EXISTING | CP_APPLY_TRUSTED, &errs) != 0)
		log_errors(&errs);
	ap_errors_done(&errs);
	ap_arena_free(&arena);
}
