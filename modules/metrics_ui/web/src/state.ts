// state.ts -- what the reader of the page chose; kept in the address, so that a view can be sent to somebody.

export type Label = "rate" | "latency" | "errors" | "bytes" | "share" | "none";
export type Theme = "dark" | "light";

export interface View {
	window: number;
	waypoints: "folded" | "shown";
	level: "workload" | "service";
	label: Label;
	selected: string | null; // "node:..." or "edge:..."
	at: number | null; // replay: end of the window, seconds; null: now
	paused: boolean;
	theme: Theme;
	query: string;
}

const WINDOWS = [30, 60, 300, 900, 3600];
const LABELS: Label[] = ["rate", "latency", "errors", "bytes", "share", "none"];
type Listener = (changed: Set<keyof View>) => void;

function storedTheme(): Theme {
	const kept = localStorage.getItem("ambit.theme");
	if (kept === "dark" || kept === "light") return kept;
	return matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark";
}

function fromAddress(): View {
	const q = new URLSearchParams(location.hash.slice(1));
	const window_ = Number(q.get("window"));
	const label = q.get("label") as Label;
	const at = Number(q.get("at"));
	return {
		window: WINDOWS.includes(window_) ? window_ : 60,
		waypoints: q.get("waypoints") === "shown" ? "shown" : "folded",
		level: q.get("level") === "service" ? "service" : "workload",
		label: LABELS.includes(label) ? label : "rate",
		selected: q.get("selected"),
		at: at > 0 ? at : null,
		paused: false,
		theme: storedTheme(),
		query: "",
	};
}

function toAddress(v: View): void {
	const q = new URLSearchParams();
	if (v.window !== 60) q.set("window", String(v.window));
	if (v.waypoints !== "folded") q.set("waypoints", v.waypoints);
	if (v.level !== "workload") q.set("level", v.level);
	if (v.label !== "rate") q.set("label", v.label);
	if (v.selected) q.set("selected", v.selected);
	if (v.at) q.set("at", String(v.at));
	const hash = q.toString();
	history.replaceState(null, "", hash ? "#" + hash : location.pathname + location.search);
}

export class Store {
	view: View = fromAddress();
	private listeners: Listener[] = [];

	constructor() {
		addEventListener("hashchange", () => {
			const { theme, paused, query } = this.view;
			this.set({ ...fromAddress(), theme, paused, query });
		});
	}

	on(fn: Listener): void {
		this.listeners.push(fn);
	}

	set(change: Partial<View>): void {
		const changed = new Set<keyof View>();
		for (const k of Object.keys(change) as (keyof View)[]) {
			if (this.view[k] !== change[k]) changed.add(k);
		}
		if (changed.size === 0) return;
		this.view = { ...this.view, ...change };
		if (changed.has("theme")) localStorage.setItem("ambit.theme", this.view.theme);
		toAddress(this.view);
		for (const fn of this.listeners) fn(changed);
	}
}
