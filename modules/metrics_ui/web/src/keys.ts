// keys.ts -- the page without a pointer: every choice has a key, arrows walk the graph, ? tells them.
import { h } from "./dom";
import type { Label, Store } from "./state";
import { WINDOWS, type Toolbar } from "./toolbar";

export interface Actions {
	store: Store;
	toolbar: Toolbar;
	help: HTMLDialogElement;
	togglePanel(): void;
	fit(): void;
	arrange(): void;
	zoom(factor: number): void;
	step(key: "ArrowLeft" | "ArrowRight" | "ArrowUp" | "ArrowDown"): void;
}

const LABEL_ORDER: Label[] = ["rate", "latency", "errors", "bytes", "share", "none"];

const KEYS: [string, string][] = [
	["/", "find"],
	["← → ↑ ↓", "walk the graph"],
	["Esc", "deselect, leave replay"],
	["1 … 5", "window"],
	["L", "next figure on the edges"],
	["W", "waypoints folded or shown"],
	["G", "versions or services"],
	["P", "pause"],
	["0", "back to now"],
	["F", "show all"],
	["A", "arrange anew"],
	["+ −", "zoom"],
	["I", "side panel"],
	["T", "dark or light"],
];

export function helpDialog(): HTMLDialogElement {
	const d = h(
		"dialog",
		{ class: "help" },
		h("h2", {}, "Keys"),
		h("dl", {}, KEYS.map(([k, what]) => h("div", {}, h("dt", {}, k.split(" ").map((p) => h("kbd", {}, p))), h("dd", {}, what)))),
		h("form", { method: "dialog" }, h("button", { class: "primary" }, "Close")),
	);
	d.addEventListener("click", (e) => e.target === d && d.close());
	return d;
}

export function bindKeys(a: Actions): void {
	const { store } = a;
	const plain: Record<string, () => void> = {
		"/": () => a.toolbar.search.focus(),
		"?": () => a.help.showModal(),
		p: () => store.set({ paused: !store.view.paused }),
		w: () => store.set({ waypoints: store.view.waypoints === "folded" ? "shown" : "folded" }),
		g: () => store.set({ level: store.view.level === "workload" ? "service" : "workload" }),
		l: () => store.set({ label: LABEL_ORDER[(LABEL_ORDER.indexOf(store.view.label) + 1) % LABEL_ORDER.length]! }),
		t: () => store.set({ theme: store.view.theme === "dark" ? "light" : "dark" }),
		f: a.fit,
		a: a.arrange,
		i: a.togglePanel,
		"0": () => store.set({ at: null }),
		"+": () => a.zoom(1.25),
		"=": () => a.zoom(1.25),
		"-": () => a.zoom(0.8),
	};
	WINDOWS.forEach((w, i) => (plain[String(i + 1)] = () => store.set({ window: w.value })));
	addEventListener("keydown", (e) => {
		if (e.ctrlKey || e.metaKey || e.altKey || a.help.open) return;
		const field = e.target instanceof HTMLInputElement;
		if (e.key === "Escape") {
			if (field) {
				a.toolbar.search.blur();
				store.set({ query: "" });
			} else if (store.view.selected) store.set({ selected: null });
			else store.set({ at: null });
			return;
		}
		if (field) return;
		if (e.key === "ArrowLeft" || e.key === "ArrowRight" || e.key === "ArrowUp" || e.key === "ArrowDown") {
			if ((e.target as HTMLElement).closest(".panel")) return;
			a.step(e.key);
			e.preventDefault();
			return;
		}
		const act = plain[e.key.toLowerCase()];
		if (act) {
			act();
			e.preventDefault();
		}
	});
}
