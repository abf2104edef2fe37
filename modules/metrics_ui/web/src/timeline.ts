// timeline.ts -- the last hour along the bottom: load, errors, configuration changes; a click replays that moment.
import { h } from "./dom";
import * as fmt from "./format";
import { palette, FONT } from "./paint";
import type { Store } from "./state";
import type { MeshEvent, Series } from "./types";

const SPAN = 3600;

export class Timeline {
	readonly el: HTMLElement;
	private canvas = h("canvas", { class: "timeline-canvas" });
	private tip = h("div", { class: "timeline-tip", hidden: true });
	private series: Series | null = null;
	private events: MeshEvent[] = [];

	constructor(private store: Store) {
		const live = h("button", { type: "button", class: "live", title: "Back to now (0)", onclick: () => store.set({ at: null }) }, "Now");
		this.el = h("footer", { class: "timeline" }, this.canvas, this.tip, live);
		this.canvas.addEventListener("pointermove", (e) => this.hover(e));
		this.canvas.addEventListener("pointerleave", () => (this.tip.hidden = true));
		this.canvas.addEventListener("click", (e) => {
			const t = Math.round(this.timeAt(e.offsetX));
			store.set({ at: Date.now() / 1000 - t < 20 ? null : t });
		});
		store.on((c) => {
			live.hidden = store.view.at === null;
			if (c.has("at") || c.has("theme")) this.draw();
		});
		live.hidden = store.view.at === null;
	}

	show(series: Series | null, events: MeshEvent[] | null): void {
		if (series) this.series = series;
		if (events) this.events = events;
		this.draw();
	}

	private end(): number {
		const s = this.series;
		return s?.t.length ? s.t[s.t.length - 1]! : Date.now() / 1000;
	}

	private timeAt(x: number): number {
		return this.end() - SPAN * (1 - x / Math.max(1, this.canvas.clientWidth));
	}

	private hover(e: PointerEvent): void {
		const t = this.timeAt(e.offsetX);
		const near = this.events.filter((v) => Math.abs(v.t / 1000 - t) < SPAN / 140).slice(0, 6);
		const s = this.series;
		let load = "";
		if (s) {
			const i = s.t.findIndex((v) => v >= t);
			if (i >= 0) load = fmt.rate(s.requests[i] ?? 0) + ((s.errors[i] ?? 0) > 0 ? " · " + fmt.rate(s.errors[i]!) + " errors" : "");
		}
		this.tip.replaceChildren(
			h("b", {}, fmt.clock(t * 1000)),
			h("span", {}, load || "no figures"),
			...near.map((v) => h("span", { class: "event" }, `${v.kind} ${v.name} ${v.verb}`)),
		);
		this.tip.hidden = false;
		const w = this.el.clientWidth;
		this.tip.style.left = Math.min(w - 110, Math.max(110, e.offsetX + this.canvas.offsetLeft)) + "px";
	}

	draw(): void {
		const ratio = Math.min(2, devicePixelRatio || 1);
		const w = this.canvas.clientWidth;
		const hgt = this.canvas.clientHeight;
		if (w === 0) return;
		this.canvas.width = w * ratio;
		this.canvas.height = hgt * ratio;
		const c = this.canvas.getContext("2d")!;
		c.scale(ratio, ratio);
		const p = palette();
		const base = hgt - 15;
		const x = (t: number) => w * (1 - (this.end() - t) / SPAN);
		c.font = `10px ${FONT}`;
		c.fillStyle = p.faint;
		c.strokeStyle = p.line;
		c.textAlign = "center";
		for (let m = 60; m > 0; m -= 10) {
			const at = Math.floor(x(this.end() - m * 60)) + 0.5;
			if (m < 60) c.fillText(`−${m} min`, at, hgt - 3);
			c.beginPath();
			c.moveTo(at, 4);
			c.lineTo(at, base);
			c.stroke();
		}
		if (this.series) this.area(c, this.series, x, base, p.accent, p.bad);
		for (const e of this.events) this.mark(c, x(e.t / 1000), base, p.waypoint);
		const { at, window } = this.store.view;
		if (at) {
			c.fillStyle = p.accent + "33";
			c.fillRect(x(at - window), 0, Math.max(2, x(at) - x(at - window)), base);
			c.fillStyle = p.accent;
			c.fillRect(x(at) - 1, 0, 2, base);
		}
	}

	private area(c: CanvasRenderingContext2D, s: Series, x: (t: number) => number, base: number, ok: string, bad: string): void {
		const load = s.requests.map((r, i) => r || (s.connections[i] ?? 0));
		const top = Math.max(1, ...load) * 1.1;
		const y = (v: number) => base - (base - 6) * (v / top);
		const path = (values: number[]) => {
			c.beginPath();
			c.moveTo(x(s.t[0] ?? 0), base);
			values.forEach((v, i) => c.lineTo(x(s.t[i]!), y(v)));
			c.lineTo(x(s.t[s.t.length - 1] ?? 0), base);
		};
		if (s.t.length === 0) return;
		path(load);
		c.fillStyle = ok + "2e";
		c.fill();
		c.strokeStyle = ok;
		c.lineWidth = 1.2;
		c.stroke();
		path(s.errors.map((v, i) => Math.max(v, s.failed[i] ?? 0)));
		c.fillStyle = bad + "66";
		c.fill();
	}

	private mark(c: CanvasRenderingContext2D, x: number, base: number, colour: string): void {
		c.fillStyle = colour;
		c.beginPath();
		c.moveTo(x, base - 7);
		c.lineTo(x + 4, base - 2);
		c.lineTo(x, base + 3);
		c.lineTo(x - 4, base - 2);
		c.fill();
	}
}
