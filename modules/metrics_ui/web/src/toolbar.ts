// toolbar.ts -- the bar on top: search, window, labels, waypoints, grouping, pause, theme, and whether what is seen is live.
import { clear, h, icon, icons } from "./dom";
import * as fmt from "./format";
import type { Label, Store, View } from "./state";
import type { Graph } from "./types";

export interface Choice<T> {
	value: T;
	text: string;
	title: string;
}

function segmented<T extends string | number>(
	name: string,
	choices: Choice<T>[],
	get: (v: View) => T,
	set: (value: T) => void,
	store: Store,
): HTMLElement {
	const buttons = choices.map((c) =>
		h("button", { type: "button", role: "radio", title: c.title, onclick: () => set(c.value) }, c.text),
	);
	const el = h("div", { class: "segmented", role: "radiogroup", "aria-label": name }, buttons);
	const paint = () =>
		buttons.forEach((b, i) => b.setAttribute("aria-checked", String(choices[i]!.value === get(store.view))));
	paint();
	store.on(paint);
	return el;
}

export const WINDOWS: Choice<number>[] = [
	{ value: 30, text: "30s", title: "Average of the last 30 seconds (1)" },
	{ value: 60, text: "1m", title: "Average of the last minute (2)" },
	{ value: 300, text: "5m", title: "Average of the last 5 minutes (3)" },
	{ value: 900, text: "15m", title: "Average of the last 15 minutes (4)" },
	{ value: 3600, text: "1h", title: "Average of the last hour (5)" },
];
const LABELS: Choice<Label>[] = [
	{ value: "rate", text: "Rate", title: "Requests or connections per second on each edge (L cycles)" },
	{ value: "latency", text: "Latency", title: "95th percentile of the response time on each edge" },
	{ value: "errors", text: "Errors", title: "Share of failed requests or connections on each edge" },
	{ value: "bytes", text: "Bytes", title: "Bytes per second on each edge" },
	{ value: "share", text: "Split", title: "Share of what a client sends to the service, by version" },
];

export class Toolbar {
	readonly el: HTMLElement;
	readonly search: HTMLInputElement;
	private status = h("button", { type: "button", class: "status", "aria-live": "polite" });
	private pauseButton: HTMLButtonElement;
	private themeButton: HTMLButtonElement;

	constructor(
		private store: Store,
		help: () => void,
		togglePanel: () => void,
		showTargets: () => void,
	) {
		const set = (change: Partial<View>) => store.set(change);
		this.search = h("input", {
			type: "search",
			placeholder: "Find a workload, service, namespace…",
			"aria-label": "Find",
			spellcheck: "false",
			oninput: () => set({ query: this.search.value }),
		});
		this.pauseButton = h("button", { type: "button", class: "tool", onclick: () => set({ paused: !store.view.paused }) });
		this.themeButton = h("button", {
			type: "button",
			class: "tool",
			title: "Dark or light (T)",
			"aria-label": "Dark or light",
			onclick: () => set({ theme: store.view.theme === "dark" ? "light" : "dark" }),
		});
		this.status.addEventListener("click", () => (store.view.at ? set({ at: null }) : showTargets()));
		const brand = h("a", { class: "brand", href: "./", title: "Ambit" }, h("img", { src: "./icon.svg", alt: "", width: 26, height: 26 }), h("b", {}, "Ambit"));
		const labels = segmented("Figures on the edges", LABELS, (v) => v.label, (label) => set({ label }), store);
		labels.classList.add("labels");
		const window_ = segmented("Window", WINDOWS, (v) => v.window, (w) => set({ window: w }), store);
		window_.classList.add("windows");
		const waypoints = segmented(
			"Waypoints",
			[
				{ value: "folded" as const, text: "Folded", title: "One edge from client to server, whatever lies between (W)" },
				{ value: "shown" as const, text: "Shown", title: "Waypoints as nodes of their own (W)" },
			],
			(v) => v.waypoints,
			(w) => set({ waypoints: w }),
			store,
		);
		const level = segmented(
			"Nodes",
			[
				{ value: "workload" as const, text: "Versions", title: "A node for each version of a workload (G)" },
				{ value: "service" as const, text: "Services", title: "A node for each identity: versions together (G)" },
			],
			(v) => v.level,
			(l) => set({ level: l }),
			store,
		);
		this.el = h(
			"header",
			{ class: "toolbar" },
			brand,
			h("label", { class: "search" }, icon(icons.search), this.search, h("kbd", {}, "/")),
			h("div", { class: "group wide" }, h("span", { class: "cap" }, "Labels"), labels),
			h("div", { class: "group" }, h("span", { class: "cap" }, "Window"), window_),
			h("div", { class: "group wide" }, h("span", { class: "cap waypoint-cap" }, icon(icons.waypoint, 13), "Waypoints"), waypoints),
			h("div", { class: "group wide" }, level),
			h("div", { class: "spring" }),
			this.status,
			this.pauseButton,
			this.themeButton,
			h("button", { type: "button", class: "tool only-wide", title: "Keys (?)", "aria-label": "Keys", onclick: help }, icon(icons.help)),
			h("button", { type: "button", class: "tool only-wide", title: "Side panel (I)", "aria-label": "Side panel", onclick: togglePanel }, icon(icons.panel)),
		);
		store.on(() => this.paint());
		this.paint();
	}

	private paint(): void {
		const v = this.store.view;
		clear(this.pauseButton);
		this.pauseButton.append(icon(v.paused ? icons.play : icons.pause));
		const title = v.paused ? "Go on (P)" : "Pause (P)";
		this.pauseButton.title = title;
		this.pauseButton.setAttribute("aria-label", title);
		this.pauseButton.setAttribute("aria-pressed", String(v.paused));
		clear(this.themeButton);
		this.themeButton.append(icon(v.theme === "dark" ? icons.sun : icons.moon));
		if (this.search.value !== v.query) this.search.value = v.query;
	}

	// What the pill at the right says: live, paused, replay, stale or lost.
	show(g: Graph | null, failure: string | null): void {
		const v = this.store.view;
		const [state, text, title] = this.verdict(g, failure, v);
		this.status.className = "status " + state;
		this.status.title = title;
		this.status.replaceChildren(h("i", { class: "dot" }), h("span", {}, text));
	}

	private verdict(g: Graph | null, failure: string | null, v: View): [string, string, string] {
		if (failure) return ["bad", "No answer", failure];
		if (!g) return ["wait", "Loading", "Waiting for the first answer"];
		if (v.at) return ["replay", "Replay " + fmt.clock(v.at * 1000), "Back to now"];
		if (v.paused) return ["paused", "Paused", "Press P to go on"];
		const { up, total } = g.targets;
		const text = total === 0 ? "No proxies" : `Live · ${up}/${total} proxies`;
		if (!g.control.connected && g.control.message !== "") return ["warn", text, g.control.message];
		return [total === 0 || up < total ? "warn" : "ok", text, `${up} of ${total} proxies answer`];
	}
}
