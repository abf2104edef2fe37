/*
 * lab_story.c -- the mesh explained on the terminal, a step at a time: each shows the YAML that an operator would write, applies
 * it, waits until it is in force, asks through the mesh and tells what came back.  At the end everything is as it was.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "lab/lab.h"

#define EFFECT_MS 20000U
#define ASKED 40
#define ANSWER_MAX ((size_t)1 << 20)

/* What answers look like: how often each marker was in the body, and the last status. */
struct answers {
	unsigned v1, v2, v3, scripted, status[6]; /* status[4]: 4xx */
	int last_status;
};

struct step {
	const char *title, *words;
	const char *yaml;       /* applied; NULL: nothing */
	const char *removes;    /* NULL-terminated triples are overkill: "kind name" words for `ambit delete`, one per line */
	const char *url, *header;
	unsigned asks;
	/* Is the step in force, given some answers? */
	bool (*holds)(const struct lab *lab, const struct answers *a);
	void (*tell)(const struct answers *a);
};

static void
ask(const struct lab *lab, const struct step *s, unsigned count, struct answers *a)
{
	memset(a, 0, sizeof(*a));
	for (unsigned i = 0; i < count; i++) {
		struct ap_buf body;
		int status = 0;

		ap_buf_init(&body, ANSWER_MAX);
		if (lab_get_from_client(lab, s->url, s->header, &status, &body) == 0 && status >= 100 && status < 600) {
			a->status[status / 100]++;
			a->last_status = status;
			a->v1 += ap_slice_search(ap_buf_slice(&body), AP_S("reviews-v1")) != SIZE_MAX;
			a->v2 += ap_slice_search(ap_buf_slice(&body), AP_S("reviews-v2")) != SIZE_MAX;
			a->v3 += ap_slice_search(ap_buf_slice(&body), AP_S("reviews-v3")) != SIZE_MAX;
			a->scripted += ap_slice_search(ap_buf_slice(&body), AP_S("x-ambit-client: ")) != SIZE_MAX;
		} else {
			a->status[0]++;
			a->last_status = 0;
		}
		ap_buf_done(&body);
	}
}

static bool
has_waypoint(const struct lab *lab, const char *word)
{
	struct ap_buf out;
	struct ap_error err;
	bool has;

	ap_buf_init(&out, ANSWER_MAX);
	has = lab_ambit(lab, NULL, &out, &err, (const char *const[]){ "waypoint", "list", NULL }) == 0 &&
	    ap_slice_search(ap_buf_slice(&out), ap_slice_of(word)) != SIZE_MAX;
	ap_buf_done(&out);
	return has;
}

static bool
all_answered(const struct lab *lab, const struct answers *a)
{
	(void)lab;
	return a->status[2] > 0 && a->status[0] + a->status[4] + a->status[5] == 0;
}

static bool
split_holds(const struct lab *lab, const struct answers *a)
{
	return all_answered(lab, a) && a->v3 == 0 && a->v1 > a->v2 && has_waypoint(lab, "reviews");
}

static bool
fault_holds(const struct lab *lab, const struct answers *a)
{
	(void)lab;
	return a->status[5] > 0 && a->status[2] == 0 && a->status[0] == 0;
}

static bool
denial_holds(const struct lab *lab, const struct answers *a)
{
	(void)lab;
	return a->last_status == 403 && a->status[2] == 0;
}

static bool
script_holds(const struct lab *lab, const struct answers *a)
{
	return all_answered(lab, a) && a->scripted == a->status[2];
}

static bool
removal_holds(const struct lab *lab, const struct answers *a)
{
	return all_answered(lab, a) && a->v3 > 0 && !has_waypoint(lab, "reviews") && !has_waypoint(lab, "details");
}

static void
tell_versions(const struct answers *a)
{
	printf("    %u answers: reviews v1 %u, v2 %u, v3 %u; failed %u\n", a->status[2], a->v1, a->v2, a->v3,
	    a->status[0] + a->status[4] + a->status[5]);
}

static void
tell_scripted(const struct answers *a)
{
	printf("    %u answers, %u of them with the script's header x-ambit-client: the identity of who asked\n", a->status[2],
	    a->scripted);
}

static void
tell_status(const struct answers *a)
{
	printf("    the answers: %u x 2xx, %u x 4xx, %u x 5xx; the last one was %d\n", a->status[2], a->status[4], a->status[5],
	    a->last_status);
}

static const struct step steps[] = {
	{ .title = "Plain L4: identity and encryption, nothing else",
	    .words = "Every connection leaves its program as it always did, is taken by the VM's ztunnel, and crosses to the other VM in\n"
		     "mutual TLS under the identity of its program. No waypoint runs. Three versions of reviews share the load.",
	    .url = "http://reviews:9080/reviews/0",
	    .asks = ASKED,
	    .holds = all_answered,
	    .tell = tell_versions },
	{ .title = "A RouteTable, and the waypoint that appears by itself",
	    .words = "Splitting requests needs HTTP, so a waypoint is deduced for the service account of reviews, started, and made\n"
		     "ready before traffic moves to it. Nobody wrote a waypoint.",
	    .yaml = "apiVersion: networking.gloo.solo.io/v2\nkind: RouteTable\nmetadata:\n  name: reviews\n  namespace: bookinfo\nspec:\n"
		    "  hosts: [reviews.bookinfo.svc.cluster.local]\n  workloadSelectors:\n  - {}\n  http:\n  - name: canary\n    forwardTo:\n"
		    "      destinations:\n      - ref: {name: reviews, namespace: bookinfo}\n        port: {number: 9080}\n        subset: "
		    "{version: v1}\n        weight: 90\n      - ref: {name: reviews, namespace: bookinfo}\n        port: {number: 9080}\n"
		    "        subset: {version: v2}\n        weight: 10\n",
	    .url = "http://reviews:9080/reviews/0",
	    .asks = ASKED,
	    .holds = split_holds,
	    .tell = tell_versions },
	{ .title = "A fault, in Istio's words",
	    .words = "A VirtualService as Istio's users write it: ratings answers 500 to the user jason, and to nobody else.",
	    .yaml = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata:\n  name: ratings\n  namespace: bookinfo\nspec:\n"
		    "  hosts: [ratings]\n  http:\n  - match:\n    - headers: {end-user: {exact: jason}}\n    fault:\n      abort:\n"
		    "        percentage: {value: 100}\n        httpStatus: 500\n    route:\n    - destination: {host: ratings}\n"
		    "  - route:\n    - destination: {host: ratings}\n",
	    .url = "http://ratings:9080/ratings/0",
	    .header = "end-user: jason",
	    .asks = 5,
	    .holds = fault_holds,
	    .tell = tell_status },
	{ .title = "A path that is denied",
	    .words = "An AuthorizationPolicy that looks at paths cannot be kept at L4. From the moment it stands, details is reached\n"
		     "through a waypoint or not at all.",
	    .yaml = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata:\n  name: no-other-books\n  namespace: bookinfo\n"
		    "spec:\n  targetRefs:\n  - {kind: Service, group: \"\", name: details}\n  action: DENY\n  rules:\n  - to:\n"
		    "    - operation: {paths: [\"/details/1*\"]}\n",
	    .url = "http://details:9080/details/1",
	    .asks = 5,
	    .holds = denial_holds,
	    .tell = tell_status },
	{ .title = "A policy in Lua",
	    .words = "What no kind can say, a script can: this one (lua/examples/lab-header.lua) tells in each answer who asked, as TLS\n"
		     "proved it. It runs in the waypoint, with bounds on instructions and memory.",
	    .yaml = "apiVersion: ambit.mesh/v1alpha1\nkind: LuaPolicy\nmetadata:\n  name: lab-header\n  namespace: bookinfo\nspec:\n"
		    "  targetRefs:\n  - {kind: Service, group: \"\", name: details}\n  source: |\n"
#include "lab/lab_script.inc"
	    ,
	    .url = "http://details:9080/details/0",
	    .asks = 5,
	    .holds = script_holds,
	    .tell = tell_scripted },
	{ .title = "And gone again",
	    .words = "The four objects are deleted. Nothing needs HTTP any more, so the waypoints drain and go.",
	    .removes = "routetable reviews\nvirtualservice ratings\nauthorizationpolicy no-other-books\nluapolicy lab-header\n",
	    .url = "http://reviews:9080/reviews/0",
	    .asks = ASKED,
	    .holds = removal_holds,
	    .tell = tell_versions },
};

static void
print_yaml(const char *yaml)
{
	for (const char *line = yaml; line != NULL && *line != '\0';) {
		const char *end = strchr(line, '\n');
		int len = end == NULL ? (int)strlen(line) : (int)(end - line);

		printf("      %.*s\n", len, line);
		line = end == NULL ? NULL : end + 1;
	}
}

static int
remove_objects(const struct lab *lab, const char *list, struct ap_error *err)
{
	struct ap_slice rest = ap_slice_of(list);

	while (rest.ptr != NULL && rest.len > 0) {
		struct ap_slice line = ap_slice_cut(&rest, '\n');
		struct ap_slice name = line;
		struct ap_slice kind = ap_slice_cut(&name, ' ');
		char kind_text[64], name_text[64];

		snprintf(kind_text, sizeof(kind_text), "%.*s", AP_FMT(kind));
		snprintf(name_text, sizeof(name_text), "%.*s", AP_FMT(name));
		printf("    ambit delete %s %s -n " LAB_NAMESPACE "\n", kind_text, name_text);
		if (lab_ambit(lab, NULL, NULL, err, (const char *const[]){ "delete", kind_text, name_text, "-n", LAB_NAMESPACE, NULL }) != 0)
			return err->code;
	}
	return 0;
}

/* A few answers at a time until the step holds; then the full number, for the figures that are told. */
static bool
wait_until_it_holds(const struct lab *lab, const struct step *s, struct answers *a)
{
	uint64_t end = ap_clock_mono_ms() + EFFECT_MS;
	unsigned probe = AP_MIN(s->asks, 12U);

	for (;;) {
		ask(lab, s, probe, a);
		if (s->holds(lab, a))
			break;
		if (ap_clock_mono_ms() >= end)
			return false;
	}
	if (s->asks > probe)
		ask(lab, s, s->asks, a);
	return true;
}

static int
run_step(const struct lab *lab, size_t i)
{
	const struct step *s = &steps[i];
	uint64_t began = ap_clock_mono_ms();
	struct ap_error err = { 0 };
	struct answers a;

	printf("\n%zu. %s\n\n%s\n\n", i + 1, s->title, s->words);
	if (s->yaml != NULL) {
		printf("    ambit apply -f -\n");
		print_yaml(s->yaml);
		if (lab_ambit(lab, s->yaml, NULL, &err, (const char *const[]){ "apply", NULL }) != 0) {
			fprintf(stderr, "ambit lab: %s\n", err.text);
			return 1;
		}
	}
	if (s->removes != NULL && remove_objects(lab, s->removes, &err) != 0) {
		fprintf(stderr, "ambit lab: %s\n", err.text);
		return 1;
	}
	fflush(stdout);
	if (!wait_until_it_holds(lab, s, &a)) {
		s->tell(&a);
		fprintf(stderr, "ambit lab: step %zu did not take effect within %u s; see the logs below %s.\n", i + 1,
		    EFFECT_MS / 1000, lab->folder);
		return 1;
	}
	printf("\n    curl %s%s%s%s\n", s->header == NULL ? "" : "-H '", s->header == NULL ? "" : s->header,
	    s->header == NULL ? "" : "' ", s->url);
	s->tell(&a);
	printf("    in force and asked for within %.1f s\n", (double)(ap_clock_mono_ms() - began) / 1000.0);
	fflush(stdout);
	return 0;
}

int
lab_story(const struct lab *lab, bool wait_for_enter)
{
	char hub[32];

	if (!lab_is_up(lab)) {
		fprintf(stderr, "ambit lab: it is down; 'ambit lab up' starts it.\n");
		return 2;
	}
	lab_address(lab, LAB_HUB_NUMBER, hub, sizeof(hub));
	printf("Keep the page open beside this: http://%s:20001/\n", hub);
	for (size_t i = 0; i < AP_COUNTOF(steps); i++) {
		if (wait_for_enter && i > 0) {
			printf("\n[Enter] goes on ");
			fflush(stdout);
			for (int c = getchar(); c != '\n' && c != EOF;)
				c = getchar();
		}
		if (run_step(lab, i) != 0)
			return 1;
	}
	printf("\nThat was the story. The page: http://%s:20001/\n", hub);
	return 0;
}
