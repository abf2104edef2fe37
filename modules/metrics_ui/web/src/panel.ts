// panel.ts -- the side panel: the mesh at a glance, or all about the selected node or edge, with charts that keep their place.
import * as api from "./api";
import { Chart } from "./charts";
import { clear, h, icon, icons, type Child } from "./dom";
import * as fmt from "./format";
import { health, isIdle, load } from "./health";
import type { Store } from "./state";
import type { EdgeDetail, Graph, GraphEdge, GraphNode, MeshEvent, Series, Target, Traffic, WaypointInfo } from "./types";

export interface Facts {
	graph: Graph | null;
	waypoints: WaypointInfo[];
	events: MeshEvent[];
	targets: Target[];
}

const CHART_SPANS: [number, number][] = [
	[60, 600],
	[300, 1800],
	[900, 3600],
	[3600, 21600],
];

export class Panel {
	readonly el = h("aside", { class: "panel", "aria-label": "Details" });
	private head = h("div", { class: "panel-head" });
	private body = h("div", { class: "panel-body" });
	private top = h("div", { class: "slot" });
	private chartsSlot = h("div", { class: "slot charts" });
	private bottom = h("div", { class: "slot" });
	private charts: Chart[] = [];
	private shown: string | null | undefined = undefined;
	private detail: EdgeDetail | null = null;
	private series: Series | null = null;
	private facts: Facts = { graph: null, waypoints: [], events: [], targets: [] };

	constructor(private store: Store) {
		this.body.append(this.top, this.chartsSlot, this.bottom);
		this.el.append(this.head, this.body);
		new ResizeObserver(() => this.charts.forEach((c) => c.resize())).observe(this.el);
	}

	show(facts: Facts): void {
		this.facts = facts;
		const selected = this.store.view.selected;
		if (selected !== this.shown) this.turn(selected);
		this.paint();
	}

	recolour(): void {
		this.charts.forEach((c) => c.recolour());
		if (this.series) this.charts.forEach((c) => c.show(this.series!));
	}

	scrollTo(section: string): void {
		this.bottom.querySelector(`[data-section="${section}"]`)?.scrollIntoView({ behavior: "smooth", block: "start" });
	}

	// Another thing is looked at: new charts, nothing of the old one stays.
	private turn(selected: string | null): void {
		this.shown = selected;
		this.detail = null;
		this.series = null;
		this.body.scrollTop = 0;
		clear(this.chartsSlot);
		this.charts = [
			new Chart(
				"Requests",
				[
					{ label: "all", colour: "accent", pick: (s) => s.requests, fill: true },
					{ label: "4xx", colour: "warn", pick: (s) => s.clientErrors },
					{ label: "5xx", colour: "bad", pick: (s) => s.errors, fill: true },
				],
				fmt.rate,
				96,
				hasRequests,
			),
			new Chart(
				"Response time",
				[
					{ label: "p50", colour: "mesh", pick: (s) => s.p50 },
					{ label: "p95", colour: "accent", pick: (s) => s.p95 },
					{ label: "p99", colour: "waypoint", pick: (s) => s.p99 },
				],
				fmt.ms,
				96,
				hasRequests,
			),
			new Chart(
				"Bytes",
				[
					{ label: "to server", colour: "accent", pick: (s) => s.received, fill: true },
					{ label: "to client", colour: "mesh", pick: (s) => s.sent },
				],
				fmt.bytesRate,
			),
			new Chart(
				"Connections",
				[
					{ label: "opened", colour: "accent", pick: (s) => s.connections, fill: true },
					{ label: "failed", colour: "bad", pick: (s) => s.failed },
					{ label: "open", colour: "dim", pick: (s) => s.open },
				],
				fmt.count,
				80,
			),
		];
		if (!selected) this.charts = [this.charts[0]!, this.charts[1]!, this.charts[3]!];
		this.chartsSlot.append(...this.charts.map((c) => c.el));
	}

	// Asks for what this selection needs beyond the graph.
	async refresh(): Promise<void> {
		const view = this.store.view;
		const selected = view.selected;
		const span = CHART_SPANS.find(([w]) => view.window <= w)?.[1] ?? 3600;
		const select: Record<string, string> = {};
		if (selected?.startsWith("edge:")) select.edge = selected.slice(5);
		if (selected?.startsWith("node:")) select.node = selected.slice(5);
		try {
			const [series, detail] = await Promise.all([
				api.series(view, select, span),
				select.edge ? api.edge(view, select.edge) : Promise.resolve(null),
			]);
			if (this.store.view.selected !== selected) return;
			this.series = series;
			this.detail = detail;
			this.charts.forEach((c) => c.show(series));
			this.paint();
		} catch (e) {
			if (!api.isReplaced(e)) console.warn("details:", e instanceof Error ? e.message : e);
		}
	}

	private paint(): void {
		const g = this.facts.graph;
		const selected = this.store.view.selected;
		if (!g) {
			this.head.replaceChildren(h("h2", {}, "Mesh"));
			this.top.replaceChildren(h("div", { class: "skeletons" }, ...Array.from({ length: 6 }, () => h("div", { class: "skeleton" }))));
			this.chartsSlot.hidden = true;
			clear(this.bottom);
			return;
		}
		this.chartsSlot.hidden = false;
		const edge = selected?.startsWith("edge:") ? g.edges.find((e) => "edge:" + e.id === selected) : undefined;
		const node = selected?.startsWith("node:") ? g.nodes.find((n) => "node:" + n.id === selected) : undefined;
		if (edge) this.edge(g, edge);
		else if (node) this.node(g, node);
		else this.overview(g, selected !== null);
	}

	private title(kicker: Child, title: Child, tools = true): void {
		this.head.replaceChildren(
			h("div", { class: "titles" }, h("div", { class: "kicker" }, kicker), h("h2", {}, title)),
			tools
				? h("button", { type: "button", class: "tool", title: "Back to the mesh (Esc)", "aria-label": "Close details", onclick: () => this.store.set({ selected: null }) }, icon(icons.close))
				: "",
		);
	}

	private overview(g: Graph, gone: boolean): void {
		this.title(`${g.nodes.length} nodes · ${g.edges.length} edges`, "The mesh", false);
		// With waypoints shown their legs to the servers carry the same requests once more.
		const kinds = new Map(g.nodes.map((n) => [n.id, n.kind]));
		const counted = g.edges.filter((e) => kinds.get(e.source) !== "waypoint");
		const sum = (f: (t: Traffic) => number) => counted.reduce((n, e) => n + f(e.traffic), 0);
		const requests = sum((t) => t.requests);
		const failed = sum((t) => (t.requests > 0 ? t.requests * (t.errorRate ?? 0) : 0));
		const lastP95 = [...(this.series?.p95 ?? [])].reverse().find((v) => v !== null) ?? null;
		const known = g.edges.filter((e) => e.traffic.mtls !== null && !isIdle(e.traffic));
		const mtls = known.length ? known.reduce((n, e) => n + (e.traffic.mtls ?? 0), 0) / known.length : null;
		this.top.replaceChildren(
			gone ? h("p", { class: "note" }, icon(icons.warn), "What was selected has no traffic in this window.") : "",
			tiles([
				["Requests", fmt.rate(requests), ""],
				["Errors", requests > 0 ? fmt.percent(failed / requests) : "–", failed > 0 ? "bad" : ""],
				["p95", fmt.ms(lastP95), ""],
				["mTLS", fmt.percent(mtls), mtls === null ? "" : mtls < 0.9995 ? "warn" : "good"],
				["Bytes", fmt.bytesRate(sum((t) => t.received + t.sent)), ""],
				["Open", fmt.count(sum((t) => t.open)), ""],
			]),
		);
		const trouble = g.edges.filter((e) => ["bad", "warn"].includes(health(e.traffic))).sort((a, b) => badness(b) - badness(a));
		const busy = g.edges.filter((e) => !isIdle(e.traffic)).sort((a, b) => load(b.traffic) - load(a.traffic)).slice(0, 8);
		this.bottom.replaceChildren(
			section("trouble", "Needs attention", trouble.length ? this.edgeList(g, trouble.slice(0, 6)) : h("p", { class: "quiet good" }, "Nothing fails and nothing is denied.")),
			section("busy", "Busiest", busy.length ? this.edgeList(g, busy) : h("p", { class: "quiet" }, "No traffic in this window.")),
			section("waypoints", "Waypoints", this.waypointList(this.facts.waypoints)),
			section("changes", "Recent changes", eventList(this.facts.events)),
			section("proxies", "Proxies", targetList(this.facts.targets)),
		);
	}

	private node(g: Graph, n: GraphNode): void {
		const versioned = n.version && n.version !== "latest" && n.version !== "unknown" ? h("span", { class: "chip" }, n.version) : "";
		this.title([kindName(n), n.namespace ? " · " + n.namespace : ""], [n.kind === "workload" ? n.app || n.name : n.name, " ", versioned]);
		const t = isIdle(n.in) ? n.out : n.in;
		const wp = this.facts.waypoints.find((w) => w.id === (n.kind === "waypoint" ? `${n.namespace}/${n.name}` : n.waypoint));
		const from = g.edges.filter((e) => e.target === n.id).sort(byLoad);
		const to = g.edges.filter((e) => e.source === n.id).sort(byLoad);
		this.top.replaceChildren(
			trafficTiles(t, isIdle(n.in) ? "sent" : ""),
			facts([
				["Workload", n.name],
				["Identity", n.principal ? h("code", {}, n.principal) : "none"],
				["Hosts", n.hosts.join(", ")],
				["Waypoint", n.kind !== "waypoint" && n.waypoint ? n.waypoint : ""],
			]),
		);
		this.bottom.replaceChildren(
			wp ? section("why", n.kind === "waypoint" ? "Why it is here" : "Why a waypoint", this.waypointList([wp])) : "",
			section("in", `Clients · ${from.length}`, from.length ? this.edgeList(g, from, "source") : h("p", { class: "quiet" }, "Nobody calls it in this window.")),
			section("out", `Calls · ${to.length}`, to.length ? this.edgeList(g, to, "target") : h("p", { class: "quiet" }, "It calls nobody in this window.")),
		);
	}

	private edge(g: Graph, e: GraphEdge): void {
		const name = (id: string) => label(g.nodes.find((n) => n.id === id));
		this.title(
			[e.protocol.toUpperCase(), e.service ? " · " + e.service.host : ""],
			[h("span", {}, name(e.source)), icon(icons.arrow, 15), h("span", {}, name(e.target))],
		);
		const t = e.traffic;
		const d = this.detail?.id === e.id ? this.detail : null;
		const locked = t.mtls !== null && t.mtls > 0.999;
		this.top.replaceChildren(
			h(
				"div",
				{ class: "chips" },
				t.mtls === null
					? ""
					: h("span", { class: "chip " + (locked ? "good" : "warn") }, icon(locked ? icons.lock : icons.unlock, 13), locked ? "Mutual TLS" : t.mtls === 0 ? "Plaintext" : `Mutual TLS ${fmt.percent(t.mtls)}`),
				...e.via.map((w) => h("button", { type: "button", class: "chip waypoint", onclick: () => this.pickWaypoint(g, w) }, icon(icons.waypoint, 13), "via " + w.split("/").pop())),
				h("span", { class: "chip" }, "seen by the " + reporterName(e.reporter)),
				e.share < 0.9995 && e.share > 0 ? h("span", { class: "chip" }, fmt.percent(e.share) + " of its calls to " + (e.service?.name ?? "it")) : "",
			),
			e.bypass ? h("p", { class: "note warn" }, icon(icons.warn), "Part of this traffic goes straight to the server although the service has a waypoint.") : "",
			t.denied > 0 ? h("p", { class: "note bad" }, icon(icons.warn), `${fmt.rate(t.denied)} refused by an authorization policy.`) : "",
			trafficTiles(t, ""),
			codes(t),
		);
		const wps = this.facts.waypoints.filter((w) => e.via.includes(w.id));
		this.bottom.replaceChildren(
			d && d.hops.length ? section("hops", "Hop by hop", hopTable(d)) : "",
			wps.length ? section("why", "Why a waypoint", this.waypointList(wps)) : "",
			d ? section("who", "Identities", facts([["Client", h("code", {}, d.sourcePrincipal || "none")], ["Server", h("code", {}, d.targetPrincipal || "none")], ["Service", e.service ? h("code", {}, e.service.host) : "none"]])) : "",
		);
	}

	private pickWaypoint(g: Graph, id: string): void {
		const n = g.nodes.find((v) => v.kind === "waypoint" && `${v.namespace}/${v.name}` === id);
		if (n) this.store.set({ selected: "node:" + n.id });
		else this.store.set({ waypoints: "shown" });
	}

	private edgeList(g: Graph, edges: GraphEdge[], side?: "source" | "target"): HTMLElement {
		const name = (id: string) => label(g.nodes.find((n) => n.id === id));
		return h(
			"ul",
			{ class: "edges" },
			edges.map((e) => {
				const t = e.traffic;
				const state = health(t);
				const figure = t.requests > 0 ? fmt.rate(t.requests) : t.connections > 0 ? fmt.count(t.connections) + " conn/s" : fmt.bytesRate(t.received + t.sent);
				const wrong = t.denied > 0 ? "denied" : (t.errorRate ?? 0) > 0 ? fmt.percent(t.errorRate) + " errors" : (t.clientErrorRate ?? 0) >= 0.02 ? fmt.percent(t.clientErrorRate) + " 4xx" : "";
				return h(
					"li",
					{},
					h(
						"button",
						{ type: "button", class: "row " + state, onclick: () => this.store.set({ selected: "edge:" + e.id }) },
						h("i", { class: "dot" }),
						h(
							"span",
							{ class: "ends" },
							side === "target" ? "" : h("span", {}, name(e.source)),
							side ? "" : icon(icons.arrow, 12),
							side === "source" ? "" : h("span", {}, name(e.target)),
						),
						wrong ? h("em", {}, wrong) : h("small", {}, t.p95 !== null ? "p95 " + fmt.ms(t.p95) : ""),
						h("b", {}, figure),
					),
				);
			}),
		);
	}

	private waypointList(items: WaypointInfo[]): HTMLElement {
		if (items.length === 0) return h("p", { class: "quiet" }, "None: no policy here needs to understand HTTP.");
		return h(
			"ul",
			{ class: "cards" },
			items.map((w) =>
				h(
					"li",
					{ class: "card" },
					h("header", {}, icon(icons.waypoint, 15), h("b", {}, w.name), h("small", {}, w.namespace), h("span", { class: "chip " + (w.ready ? "good" : "warn") }, w.ready ? "ready" : w.message || "starting")),
					h("p", { class: "dim" }, w.managed ? "Made by Ambit" : "Written by hand", w.services.length ? " for " + w.services.join(", ") : ""),
					w.reasons.length ? h("ul", { class: "reasons" }, w.reasons.map((r) => h("li", {}, r.text, r.object ? h("code", {}, r.object) : ""))) : "",
				),
			),
		);
	}
}

function badness(e: GraphEdge): number {
	const t = e.traffic;
	return t.denied * 3 + (t.errorRate ?? 0) * load(t) * 2 + (t.clientErrorRate ?? 0) * load(t);
}

const hasRequests = (s: Series) => s.requests.some((v) => v > 0);
const byLoad = (a: GraphEdge, b: GraphEdge) => load(b.traffic) - load(a.traffic);

function kindName(n: GraphNode): string {
	return { workload: "Workload", service: "Service", waypoint: "Waypoint", outside: "Outside the mesh" }[n.kind];
}

export function label(n: GraphNode | undefined): string {
	if (!n) return "?";
	if (n.kind !== "workload") return n.name;
	const v = n.version && n.version !== "latest" && n.version !== "unknown" ? " " + n.version : "";
	return (n.app || n.name) + v;
}

function reporterName(r: string): string {
	return r === "waypoint" ? "waypoint" : r === "destination" ? "server's ztunnel" : "client's ztunnel";
}

function section(key: string, title: string, ...content: Child[]): HTMLElement {
	return h("section", { class: "block", "data-section": key }, h("h3", {}, title), content);
}

function tiles(items: [string, string, string][]): HTMLElement {
	return h("dl", { class: "tiles" }, items.map(([k, v, tone]) => h("div", { class: "tile " + tone }, h("dt", {}, k), h("dd", {}, v))));
}

function trafficTiles(t: Traffic, note: string): HTMLElement {
	const suffix = note ? " " + note : "";
	if (t.requests > 0) {
		return tiles([
			["Requests" + suffix, fmt.rate(t.requests), ""],
			["Errors", fmt.percent(t.errorRate), (t.errorRate ?? 0) > 0 ? "bad" : ""],
			["4xx", fmt.percent(t.clientErrorRate), (t.clientErrorRate ?? 0) > 0.02 ? "warn" : ""],
			["p50", fmt.ms(t.p50), ""],
			["p95", fmt.ms(t.p95), ""],
			["p99", fmt.ms(t.p99), ""],
			["To server", fmt.bytesRate(t.received), ""],
			["To client", fmt.bytesRate(t.sent), ""],
			["Open", fmt.count(t.open), ""],
		]);
	}
	return tiles([
		["Connections" + suffix, fmt.rate(t.connections), ""],
		["Failed", fmt.rate(t.failed), t.failed > 0 ? "bad" : ""],
		["Open", fmt.count(t.open), ""],
		["To server", fmt.bytesRate(t.received), ""],
		["To client", fmt.bytesRate(t.sent), ""],
		["Denied", fmt.rate(t.denied), t.denied > 0 ? "bad" : ""],
	]);
}

function facts(rows: [string, Child][]): HTMLElement {
	return h("dl", { class: "facts" }, rows.filter(([, v]) => v !== "").map(([k, v]) => [h("dt", {}, k), h("dd", {}, v)]));
}

function codes(t: Traffic): HTMLElement | string {
	const list = Object.entries(t.codes).sort(([a], [b]) => Number(a) - Number(b));
	const total = list.reduce((n, [, v]) => n + v, 0);
	if (total === 0) return "";
	const tone = (code: string) => (code[0] === "5" || code === "0" ? "bad" : code[0] === "4" ? "warn" : code[0] === "3" ? "dim" : "ok");
	return h(
		"div",
		{ class: "codes" },
		list.map(([code, v]) => h("span", { class: "code " + tone(code) }, h("b", {}, code === "0" ? "no answer" : code), fmt.percent(v / total))),
	);
}

function hopTable(d: EdgeDetail): HTMLElement {
	return h(
		"ol",
		{ class: "hops" },
		d.hops.map((hop) =>
			h(
				"li",
				{},
				h("span", { class: "hop-ends" }, hop.from, icon(icons.arrow, 12), hop.to),
				h("small", {}, "by the " + reporterName(hop.reporter)),
				h("span", { class: "hop-figures" }, hop.traffic.requests > 0 ? fmt.rate(hop.traffic.requests) + (hop.traffic.p95 !== null ? " · p95 " + fmt.ms(hop.traffic.p95) : "") : `${fmt.count(hop.traffic.connections)} conn/s · ${fmt.count(hop.traffic.open)} open`),
				h("span", { class: "hop-bytes" }, fmt.bytesRate(hop.traffic.received + hop.traffic.sent)),
			),
		),
	);
}

function eventList(events: MeshEvent[]): HTMLElement {
	if (events.length === 0) return h("p", { class: "quiet" }, "None since this page's server started.");
	const now = Date.now();
	return h(
		"ul",
		{ class: "events" },
		events.slice(0, 12).map((e) =>
			h("li", { class: e.verb }, h("i", { class: "dot" }), h("span", {}, h("b", {}, e.kind), " ", e.namespace ? e.namespace + "/" : "", e.name, " ", h("em", {}, e.verb)), h("small", {}, fmt.ago(e.t, now))),
		),
	);
}

function targetList(targets: Target[]): HTMLElement {
	if (targets.length === 0) return h("p", { class: "quiet" }, "No proxy is known yet.");
	return h(
		"ul",
		{ class: "targets" },
		targets.map((t) =>
			h("li", { class: t.up ? "up" : "down", title: t.message }, h("i", { class: "dot" }), h("b", {}, t.name), h("small", {}, t.role), h("span", {}, t.up ? `${t.series} series` : t.message || "no answer")),
		),
	);
}
