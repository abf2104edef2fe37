// main.ts -- wires the page: what was chosen (state.ts), what is asked (api.ts), what is drawn (topology.ts, overlay.ts, panel.ts).
import "./style.css";
import * as api from "./api";
import { h, icon, icons } from "./dom";
import { bindKeys, helpDialog } from "./keys";
import { Overlay } from "./overlay";
import { Panel, type Facts } from "./panel";
import { Store } from "./state";
import { Timeline } from "./timeline";
import { Toolbar } from "./toolbar";
import { Topology } from "./topology";
import { isIdle } from "./health";

const REFRESH_MS = 5000;
const SLOW_MS = 10_000;

const store = new Store();
document.documentElement.dataset.theme = store.view.theme;

const facts: Facts = { graph: null, waypoints: [], events: [], targets: [] };
let failure: string | null = null;

const app = document.getElementById("app")!;
const stage = h("div", { class: "stage" });
const canvas = h("div", { class: "graph", tabindex: "0", role: "application", "aria-label": "Topology of the mesh; arrow keys move between nodes" });
const message = h("div", { class: "message", role: "status" });
const panel = new Panel(store);
const help = helpDialog();
const toolbar = new Toolbar(store, () => help.showModal(), togglePanel, showTargets);
const timeline = new Timeline(store);
stage.append(canvas, legend(), zoomTools(), message);
app.append(toolbar.el, h("main", {}, h("div", { class: "left" }, stage, timeline.el), panel.el), help);

const topology = new Topology(canvas, {
	select: (selected) => store.set({ selected }),
	open: (selected) => store.set({ selected }),
});
const overlay = new Overlay(topology, () => store.view);

function togglePanel(): void {
	document.body.classList.toggle("no-panel");
}

function showTargets(): void {
	document.body.classList.remove("no-panel");
	store.set({ selected: null });
	panel.scrollTo("proxies");
}

function legend(): HTMLElement {
	const key = (cls: string, text: string) => h("span", { class: "legend-key" }, h("i", { class: "stroke " + cls }), text);
	return h(
		"div",
		{ class: "legend" },
		key("ok", "healthy"),
		key("warn", "4xx or a few errors"),
		key("bad", "errors or denied"),
		key("idle", "idle"),
		h("span", { class: "legend-key mesh" }, icon(icons.lock, 12), "mutual TLS"),
		h("span", { class: "legend-key waypoint" }, icon(icons.waypoint, 12), "behind a waypoint"),
	);
}

function zoomTools(): HTMLElement {
	const tool = (title: string, paths: string, onclick: () => void) =>
		h("button", { type: "button", class: "tool", title, "aria-label": title, onclick }, icon(paths));
	return h(
		"div",
		{ class: "zoom" },
		tool("Closer (+)", icons.plus, () => topology.zoomBy(1.25)),
		tool("Farther (−)", icons.minus, () => topology.zoomBy(0.8)),
		tool("Show all (F)", icons.fit, () => topology.fit()),
		tool("Arrange anew (A)", icons.layout, () => topology.relayout()),
	);
}

// What is said in place of a picture.
function say(): void {
	const g = facts.graph;
	let content: [string, string, string] | null = null;
	if (!g && failure) content = ["bad", "The metrics server does not answer", failure + ". Trying again every few seconds."];
	else if (!g) content = ["wait", "Looking at the mesh…", ""];
	else if (g.nodes.length === 0 && g.targets.total === 0) {
		const lost = g.control.message && `The control plane's API does not answer (${g.control.message}), so the hosts of the mesh are not known.`;
		content = ["empty", "No proxies yet", lost || "As soon as a ztunnel or a waypoint joins the mesh it appears here."];
	} else if (g.nodes.length === 0) {
		content = ["empty", "No traffic yet", `${g.targets.up} of ${g.targets.total} proxies answer, and none of them has carried a connection.`];
	}
	message.hidden = content === null;
	if (content) {
		const [state, title, text] = content;
		message.className = "message " + state;
		message.replaceChildren(h("div", { class: state === "wait" ? "spinner" : "emblem" }), h("h2", {}, title), h("p", {}, text));
	}
	document.body.classList.toggle("stale", g !== null && failure !== null);
	document.body.classList.toggle("lost", g === null && failure !== null);
}

function paint(): void {
	if (facts.graph) topology.update(facts.graph, store.view);
	toolbar.show(facts.graph, failure);
	panel.show(facts);
	say();
	overlay.touch();
	document.body.classList.toggle("all-idle", facts.graph !== null && facts.graph.edges.every((e) => isIdle(e.traffic)));
}

async function refreshGraph(): Promise<void> {
	try {
		facts.graph = await api.graph(store.view);
		failure = null;
	} catch (e) {
		if (api.isReplaced(e)) return;
		failure = e instanceof Error ? e.message : String(e);
	}
	paint();
}

async function refreshRest(): Promise<void> {
	const [w, e, t, line] = await Promise.allSettled([api.waypoints(store.view), api.events(), api.targets(), api.line(3600)]);
	if (w.status === "fulfilled") facts.waypoints = w.value.items;
	if (e.status === "fulfilled") facts.events = e.value.items;
	if (t.status === "fulfilled") facts.targets = t.value.items;
	timeline.show(line.status === "fulfilled" ? line.value : null, facts.events);
	panel.show(facts);
}

// One chain of requests each, however slow the answers: never two rounds at a time.
function every(ms: number, work: () => Promise<void>): void {
	const round = async () => {
		if (!document.hidden && !store.view.paused) await work();
		setTimeout(() => void round(), ms);
	};
	setTimeout(() => void round(), ms);
}

store.on((changed) => {
	if (changed.has("theme")) {
		document.documentElement.dataset.theme = store.view.theme;
		overlay.recolour();
		panel.recolour();
		timeline.draw();
	}
	if (changed.has("window") || changed.has("waypoints") || changed.has("level") || changed.has("at")) {
		void refreshGraph();
		void panel.refresh();
	}
	if (changed.has("selected")) {
		if (store.view.selected) document.body.classList.remove("no-panel");
		panel.show(facts);
		void panel.refresh();
	}
	if (changed.has("paused") && !store.view.paused) void refreshGraph();
	toolbar.show(facts.graph, failure);
	topology.highlight(store.view);
	overlay.touch();
});

bindKeys({
	store,
	toolbar,
	help,
	togglePanel,
	fit: () => topology.fit(),
	arrange: () => topology.relayout(),
	zoom: (f) => topology.zoomBy(f),
	step: (key) => {
		const next = topology.step(store.view.selected, key);
		if (next) store.set({ selected: next });
	},
});

new ResizeObserver(() => {
	topology.resized();
	overlay.touch();
	timeline.draw();
}).observe(stage);
document.addEventListener("visibilitychange", () => {
	if (!document.hidden && !store.view.paused) void refreshGraph();
});
void document.fonts.ready.then(() => overlay.touch());

// For tests, and for whoever looks with the browser's tools.
(window as unknown as { ambit: unknown }).ambit = { store, facts, topology };

paint();
void refreshGraph();
void panel.refresh();
void refreshRest();
every(REFRESH_MS, refreshGraph);
every(REFRESH_MS, () => panel.refresh());
every(SLOW_MS, refreshRest);
