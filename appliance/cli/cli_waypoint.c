/* cli_waypoint.c -- "ambit waypoint": which waypoints there are, whom they serve, why, and whether they are ready. */
#include <stdio.h>
#include <string.h>

#include "cli/client.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "codec/json.h"

#define GATEWAYS "/apis/gateway.networking.k8s.io/v1/gateways"
#define ARENA_CEILING ((size_t)1024 * 1024 * 1024)

struct waypoint {
	const struct ap_doc *object;
	struct ap_slice namespace_, name, address;
	const struct ap_doc *reasons; /* list; or NULL */
	bool ready, managed;
};

static bool
is_waypoint(const struct ap_doc *gateway)
{
	struct ap_slice class_name = ap_doc_string(ap_doc_get(gateway, "spec"), "gatewayClassName", "");

	return ap_slice_eq(class_name, AP_S("istio-waypoint")) || ap_slice_eq(class_name, AP_S("istio-mesh"));
}

static void
read_waypoint(struct ap_arena *arena, const struct ap_doc *gateway, struct waypoint *w)
{
	const struct ap_doc *meta = ap_doc_get(gateway, "metadata");
	struct ap_slice reasons = ap_doc_string(ap_doc_get(meta, "annotations"), "ambit.mesh/reasons", "");
	struct ap_doc *parsed = NULL;
	struct ap_error err = { 0 };

	memset(w, 0, sizeof(*w));
	w->object = gateway;
	w->namespace_ = ap_doc_string(meta, "namespace", "");
	w->name = ap_doc_string(meta, "name", "");
	w->managed = ap_slice_eq(ap_doc_string(ap_doc_get(meta, "labels"), "ambit.mesh/managed", ""), AP_S("true"));
	AP_DOC_FOR(c, ap_doc_path(gateway, "status.conditions")) {
		if (ap_slice_eq(ap_doc_string(c, "type", ""), AP_S("Programmed")))
			w->ready = ap_slice_eq(ap_doc_string(c, "status", ""), AP_S("True"));
	}
	w->address = ap_doc_string(ap_doc_item(ap_doc_path(gateway, "status.addresses"), 0), "value", "");
	if (reasons.len > 0 && ap_json_parse(arena, "reasons", reasons, &parsed, &err) == 0)
		w->reasons = parsed;
}

/* "VirtualService reviews, AuthorizationPolicy deny" */
static struct ap_slice
short_reasons(struct ap_arena *arena, const struct waypoint *w)
{
	struct ap_slice all = AP_SLICE_NONE;

	if (w->reasons == NULL)
		return w->managed ? AP_S("not told yet") : AP_S("written by hand");
	AP_DOC_FOR(r, w->reasons) {
		struct ap_slice one = ap_arena_printf(
		    arena, "%.*s %.*s", AP_FMT(ap_doc_string(r, "kind", "")), AP_FMT(ap_doc_string(r, "name", "")));

		if (ap_slice_search(all, one) == SIZE_MAX)
			all = ap_arena_printf(arena, "%.*s%s%.*s", AP_FMT(all), all.len == 0 ? "" : ", ", AP_FMT(one));
	}
	return all;
}

static int
list(const struct ap_doc *gateways, struct ap_arena *arena, enum ap_cli_format format)
{
	static const char *const heads[] = { "NAMESPACE", "NAME", "READY", "ADDRESS", "SERVICES", "BECAUSE OF", NULL };
	struct ap_doc *found = ap_doc_new_list(arena);
	struct ap_cli_table t;
	unsigned count = 0;

	ap_cli_table_init(&t, arena, heads);
	AP_DOC_FOR(gateway, ap_doc_get(gateways, "items")) {
		struct waypoint w;
		struct ap_slice services = AP_SLICE_NONE;

		if (!is_waypoint(gateway))
			continue;
		read_waypoint(arena, gateway, &w);
		AP_DOC_FOR(r, w.reasons) {
			struct ap_slice host = ap_doc_string(r, "service", "");

			if (host.len > 0 && ap_slice_search(services, host) == SIZE_MAX)
				services = ap_arena_printf(arena, "%.*s%s%.*s", AP_FMT(services), services.len == 0 ? "" : ",", AP_FMT(host));
		}
		count++;
		ap_cli_table_add(&t, w.namespace_);
		ap_cli_table_add(&t, w.name);
		ap_cli_table_add(&t, w.ready ? AP_S("yes") : AP_S("no"));
		ap_cli_table_add(&t, w.address);
		ap_cli_table_add(&t, services);
		ap_cli_table_add(&t, short_reasons(arena, &w));
		ap_doc_append(found, ap_doc_copy(arena, gateway));
	}
	if (format == AP_CLI_JSON || format == AP_CLI_YAML)
		ap_cli_print_doc(found, format);
	else if (count == 0)
		fprintf(stderr, "No waypoints: nothing needs HTTP.\n");
	if (format == AP_CLI_TABLE && count > 0)
		ap_cli_table_print(&t);
	else
		ap_vec_done(&t.cells);
	return 0;
}

static void
explain_one(const struct waypoint *w)
{
	printf("%.*s/%.*s\n  where    %.*s, %s\n  identity spiffe://<trust domain>/ns/%.*s/sa/%.*s\n  why\n", AP_FMT(w->namespace_),
	    AP_FMT(w->name), w->address.len == 0 ? (int)14 : (int)w->address.len, w->address.len == 0 ? "no address yet" : w->address.ptr,
	    w->ready ? "ready" : "not ready: what must pass through it is refused", AP_FMT(w->namespace_), AP_FMT(w->name));
	if (w->reasons == NULL)
		printf("    - somebody wrote this Gateway\n");
	AP_DOC_FOR(r, w->reasons)
		printf("    - %.*s%s\n", AP_FMT(ap_doc_string(r, "text", "")),
		    ap_doc_bool(r, "security", false) ? "; security, so it is never passed by" : "");
}

static int
explain(const struct ap_doc *gateways, struct ap_arena *arena, const char *name)
{
	unsigned count = 0;

	AP_DOC_FOR(gateway, ap_doc_get(gateways, "items")) {
		struct waypoint w;

		if (!is_waypoint(gateway))
			continue;
		read_waypoint(arena, gateway, &w);
		if (name != NULL && !ap_slice_eq_text(w.name, name))
			continue;
		if (count++ > 0)
			putchar('\n');
		explain_one(&w);
	}
	if (count == 0 && name != NULL)
		return ap_cli_fail(&ap_command_waypoint, "there is no waypoint '%s'; 'ambit waypoint list' shows them.", name) - 1;
	if (count == 0)
		printf("No waypoints: no route or policy needs HTTP.\n");
	return 0;
}

static int
run_waypoint(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "", *name = NULL;
	enum ap_cli_format format = AP_CLI_TABLE;
	struct ap_cli_target target;
	struct ap_error err = { 0 };
	struct ap_arena *arena;
	struct ap_doc *gateways;
	int rc;

	ap_cli_target_init(&target);
	if (strcmp(what, "list") != 0 && strcmp(what, "explain") != 0)
		return ap_cli_fail(&ap_command_waypoint, "'%s' is not understood; say list or explain.", what);
	for (int i = 2; i < argc; i++) {
		int taken = ap_cli_target_option(&target, argc, argv, &i);

		if (taken < 0)
			return 2;
		if (taken > 0)
			continue;
		if (strcmp(argv[i], "-o") == 0 && i + 1 < argc && ap_cli_format_parse(argv[i + 1], &format) == 0)
			i++;
		else if (argv[i][0] != '-' && name == NULL)
			name = argv[i];
		else
			return ap_cli_fail(&ap_command_waypoint, "'%s' is not understood; see 'ambit waypoint --help'.", argv[i]);
	}
	arena = ap_arena_new(ARENA_CEILING);
	gateways = ap_cli_get(&target, arena, GATEWAYS, &err);
	if (gateways == NULL)
		rc = ap_cli_fail(&ap_command_waypoint, "%s", err.text);
	else
		rc = strcmp(what, "list") == 0 ? list(gateways, arena, format) : explain(gateways, arena, name);
	ap_arena_free(&arena);
	return rc;
}

static const char *const words[] = { "list", "explain", "-o", "table", "json", "yaml", "--server", "--token-file", "--ca-file", NULL };

const struct ap_command ap_command_waypoint = {
	.name = "waypoint",
	.group = "Mesh",
	.usage = "list [-o table|json|yaml] | explain [NAME]",
	.summary = "Tell which waypoints run, where and why",
	.help = "  list [-o FORMAT]   one line each: where, ready or not, for which services, because of what\n"
		"  explain [NAME]     every reason: the object, the field that needs HTTP, whether it is security\n" AP_CLI_TARGET_HELP
		"\nExit codes: 0; 1 there is no such waypoint; 2 the API could not be asked.\n",
	.words = words,
	.run = run_waypoint,
};
