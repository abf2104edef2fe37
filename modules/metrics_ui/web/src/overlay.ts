// overlay.ts -- paints the picture on one canvas above Cytoscape's: boxes, edges with what flows on them, cards, labels.
// It redraws while things move, at most 40 times a second, and rests when the page is hidden or the reader wants no motion.
import type cytoscape from "cytoscape";
import { icons } from "./dom";
import * as fmt from "./format";
import { health, isIdle, load, type Health } from "./health";
import { at, fit, FONT, glyph, long, palette, round, trace, type Palette, type Way } from "./paint";
import type { View } from "./state";
import { CARD, type Topology } from "./topology";
import type { GraphEdge, GraphNode, Traffic } from "./types";

const GLYPH_WORKLOAD = "M3 3.5h10v3.6H3z|M3 9h10v3.6H3z|M5.4 5.3h.1M5.4 10.8h.1";
const GLYPH_OUTSIDE = "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2|M2 8h12|M8 2c4 4 4 8 0 12M8 2c-4 4-4 8 0 12";
const GLYPH_SERVICE = "M8 2.2 13.2 5v6L8 13.8 2.8 11V5z|M2.8 5 8 8l5.2-3M8 8v5.8";
type Element_ = cytoscape.NodeSingular | cytoscape.EdgeSingular;

const FRAME_MS = 25;

export class Overlay {
	private canvas = document.createElement("canvas");
	private c: CanvasRenderingContext2D;
	private p: Palette = palette();
	private last = 0;
	private clock = 0;
	private dirty = true;
	private taken: { x1: number; y1: number; x2: number; y2: number }[] = [];

	constructor(
		private topo: Topology,
		private view: () => View,
	) {
		this.canvas.className = "overlay";
		topo.container.append(this.canvas);
		const c = this.canvas.getContext("2d");
		if (!c) throw new Error("this browser has no 2D canvas");
		this.c = c;
		topo.cy.on("render", () => (this.dirty = true));
		const frame = (now: number) => {
			requestAnimationFrame(frame);
			if (now - this.last < FRAME_MS) return;
			this.draw(now);
		};
		requestAnimationFrame(frame);
	}

	recolour(): void {
		this.p = palette();
		this.dirty = true;
	}

	touch(): void {
		this.dirty = true;
	}

	private still(): boolean {
		return this.view().paused || this.view().at !== null || matchMedia("(prefers-reduced-motion: reduce)").matches;
	}

	private draw(now: number): void {
		const passed = Math.min(100, now - this.last);
		this.last = now;
		if (this.still()) {
			if (!this.dirty) return;
		} else {
			this.clock += passed / 1000;
		}
		this.dirty = false;
		const { cy, container } = this.topo;
		const c = this.c;
		const ratio = Math.min(2, devicePixelRatio || 1);
		const w = Math.round(container.clientWidth * ratio);
		const h = Math.round(container.clientHeight * ratio);
		if (this.canvas.width !== w || this.canvas.height !== h) [this.canvas.width, this.canvas.height] = [w, h];
		c.setTransform(1, 0, 0, 1, 0, 0);
		c.clearRect(0, 0, w, h);
		const zoom = cy.zoom();
		const pan = cy.pan();
		c.setTransform(zoom * ratio, 0, 0, zoom * ratio, pan.x * ratio, pan.y * ratio);
		cy.nodes("[box = 'namespace']").forEach((n) => this.box(n));
		cy.nodes("[box = 'app']").forEach((n) => this.box(n));
		const edges = cy.edges().toArray().sort((a, b) => rank(a) - rank(b)) as cytoscape.EdgeSingular[];
		for (const e of edges) this.edge(e, this.topo.way(e));
		this.taken = [];
		cy.nodes("[!box]").forEach((n) => this.card(n));
		// What matters most finds its place first, and is painted last.
		const pills: (() => void)[] = [];
		if (zoom > 0.3) for (const e of [...edges].reverse()) pills.push(this.pill(e, this.topo.way(e)));
		for (const paint of pills.reverse()) paint();
	}

	// How much of an element is to be seen: it fades in when it is new and steps back when something else matters.
	private presence(e: Element_): number {
		const born = (e.data("born") as number | undefined) ?? 0;
		const age = Math.min(1, (performance.now() - born) / 450);
		if (age < 1) this.dirty = true;
		return age * (e.data("dim") ? 0.22 : 1);
	}

	private box(n: cytoscape.NodeSingular): void {
		const c = this.c;
		const b = n.boundingBox({ includeLabels: false, includeOverlays: false });
		const isApp = n.data("box") === "app";
		round(c, b.x1, b.y1, b.w, b.h, isApp ? 16 : 22);
		c.globalAlpha = 1;
		c.fillStyle = this.p.box;
		c.fill();
		c.lineWidth = 1;
		c.setLineDash(isApp ? [4, 4] : []);
		c.strokeStyle = this.p.boxLine;
		c.stroke();
		c.setLineDash([]);
		c.fillStyle = this.p.dim;
		c.textBaseline = "middle";
		c.textAlign = "left";
		// From far away the names of namespaces stay legible: they grow as the picture shrinks.
		const size = isApp ? 11 : Math.max(12, Math.min(11 / this.topo.cy.zoom(), b.w / 5));
		c.font = `${isApp ? 550 : 650} ${size}px ${FONT}`;
		const grown = size > 12;
		c.fillText(
			fit(c, n.data("label") as string, grown ? b.w : b.w - 30),
			b.x1 + (isApp ? 14 : grown ? 0 : 18),
			grown ? b.y1 - size * 0.7 : b.y1 + (isApp ? 11 : 16),
		);
	}

	private tone(h: Health): string {
		return h === "bad" ? this.p.bad : h === "warn" ? this.p.warn : h === "idle" ? this.p.idle : this.p.edge;
	}

	private edge(e: cytoscape.EdgeSingular, k: Way): void {
		const c = this.c;
		const edge = e.data("edge") as GraphEdge;
		const h = e.data("health") as Health;
		const strong = e.data("picked") || this.topo.hover.id === e.id();
		const width = h === "idle" ? 1 : Math.min(6, 1.3 + Math.log10(1 + load(edge.traffic)) * 1.9) + (strong ? 0.8 : 0);
		const colour = strong && h === "ok" ? this.p.accent : this.tone(h);
		c.globalAlpha = this.presence(e) * (h === "idle" ? 0.55 : 1);
		c.strokeStyle = colour;
		c.lineWidth = width;
		c.lineCap = "round";
		c.setLineDash(h === "idle" ? [2, 6] : edge.traffic.mtls !== null && edge.traffic.mtls < 0.5 ? [8, 5] : []);
		trace(c, k);
		c.stroke();
		c.setLineDash([]);
		const size = 5 + width;
		c.fillStyle = colour;
		c.beginPath();
		if (edge.source === edge.target) {
			c.moveTo(k.end.x - 4, k.end.y);
			c.lineTo(k.end.x - 4 + size, k.end.y - size * 0.55);
			c.lineTo(k.end.x - 4 + size, k.end.y + size * 0.55);
		} else if (this.topo.direction === "LR") {
			c.moveTo(k.end.x + 4, k.end.y);
			c.lineTo(k.end.x + 4 - size, k.end.y - size * 0.55);
			c.lineTo(k.end.x + 4 - size, k.end.y + size * 0.55);
		} else {
			c.moveTo(k.end.x, k.end.y + 4);
			c.lineTo(k.end.x - size * 0.55, k.end.y + 4 - size);
			c.lineTo(k.end.x + size * 0.55, k.end.y + 4 - size);
		}
		c.fill();
		if (h !== "idle") this.flow(edge, k, width, h);
	}

	// Dots travel along; as many of them are red as requests fail.
	private flow(edge: GraphEdge, k: Way, width: number, h: Health): void {
		const c = this.c;
		const length = long(k);
		const dots = Math.max(1, Math.min(9, Math.round(Math.log2(1.4 + load(edge.traffic)) * (length / 240))));
		const speed = 70 / length;
		const failing = Math.ceil((edge.traffic.errorRate ?? 0) * dots);
		const shift = hash(edge.id) / 997;
		for (let i = 0; i < dots; i++) {
			const t = (this.clock * speed + i / dots + shift) % 1;
			const q = at(k, t);
			c.fillStyle = i < failing ? this.p.bad : h === "bad" ? this.p.warn : this.p.text;
			c.beginPath();
			c.arc(q.x, q.y, 1.1 + width * 0.42, 0, 7);
			c.fill();
		}
	}

	private card(n: cytoscape.NodeSingular): void {
		const c = this.c;
		const node = n.data("node") as GraphNode;
		const p = this.p;
		const { x, y } = n.position();
		const w = CARD.width;
		const h = CARD.height;
		const x1 = x - w / 2;
		const y1 = y - h / 2;
		const picked = n.data("picked") as boolean;
		const hovered = this.topo.hover.id === n.id();
		const state = health(node.in);
		const isWaypoint = node.kind === "waypoint";
		c.globalAlpha = this.presence(n);
		c.save();
		c.shadowColor = p.shadow;
		c.shadowBlur = 14;
		c.shadowOffsetY = 4;
		round(c, x1, y1, w, h, isWaypoint ? h / 2 : 13);
		c.fillStyle = hovered || picked ? p.raised : p.surface;
		c.fill();
		c.restore();
		c.setLineDash(node.kind === "outside" || node.kind === "service" ? [5, 4] : []);
		c.lineWidth = picked ? 2 : 1.2;
		c.strokeStyle = picked
			? p.accent
			: state === "bad"
				? p.bad
				: state === "warn"
					? p.warn
					: isWaypoint
						? p.waypoint
						: hovered
							? p.lineStrong
							: p.line;
		c.stroke();
		c.setLineDash([]);
		this.cardIcon(node, x1 + 9, y - 16);
		this.cardText(node, x1 + 49, y, w - 57);
		this.taken.push({ x1: x1 - 2, y1: y1 - 2, x2: x1 + w + 2, y2: y1 + h + 2 });
		if (node.waypoint && !isWaypoint) this.badge(x1 + w - 5, y1 + 4);
	}

	private cardIcon(node: GraphNode, x: number, y: number): void {
		const c = this.c;
		const p = this.p;
		const isWaypoint = node.kind === "waypoint";
		const idle = isIdle(node.in) && isIdle(node.out);
		const state = health(node.in);
		const tint = isWaypoint ? p.waypoint : state === "bad" ? p.bad : state === "warn" ? p.warn : idle ? p.faint : p.mesh;
		const alpha = c.globalAlpha;
		round(c, x, y, 32, 32, isWaypoint ? 16 : 9);
		c.globalAlpha = alpha * 0.15;
		c.fillStyle = tint;
		c.fill();
		c.globalAlpha = alpha;
		const shape =
			node.kind === "outside" ? GLYPH_OUTSIDE : node.kind === "service" ? GLYPH_SERVICE : isWaypoint ? icons.waypoint : GLYPH_WORKLOAD;
		glyph(c, shape, x + 7.5, y + 7.5, 17, tint, 1.35);
	}

	private cardText(node: GraphNode, x: number, y: number, width: number): void {
		const c = this.c;
		const p = this.p;
		c.textAlign = "left";
		c.textBaseline = "middle";
		c.fillStyle = p.text;
		c.font = `620 13px ${FONT}`;
		c.fillText(fit(c, node.kind === "workload" && node.app ? node.app : node.name, width), x, y - 8.5);
		let at_ = x;
		if (node.kind === "workload" && isVersion(node.version)) {
			c.font = `600 10px ${FONT}`;
			const chip = fit(c, node.version, 44);
			const cw = c.measureText(chip).width + 9;
			round(c, at_, y + 2.5, cw, 14, 4.5);
			c.fillStyle = p.raised;
			c.fill();
			c.lineWidth = 1;
			c.strokeStyle = p.line;
			c.stroke();
			c.fillStyle = p.dim;
			c.fillText(chip, at_ + 4.5, y + 10);
			at_ += cw + 5;
		}
		c.fillStyle = p.dim;
		c.font = `450 11px ${FONT}`;
		c.fillText(fit(c, subtitle(node), width - (at_ - x)), at_, y + 10);
	}

	// The mark of a workload whose requests pass through a waypoint.
	private badge(x: number, y: number): void {
		const c = this.c;
		c.beginPath();
		c.arc(x - 3, y + 3, 10, 0, 7);
		c.fillStyle = this.p.surface;
		c.fill();
		c.lineWidth = 1.2;
		c.strokeStyle = this.p.waypoint;
		c.stroke();
		glyph(c, icons.waypoint, x - 9, y - 3, 12, this.p.waypoint, 1.6);
	}

	// Somewhere along the edge where nothing else is written; the middle when all is taken.
	private freePlace(k: Way, width: number): { x: number; y: number } {
		for (const part of [0.5, 0.42, 0.58, 0.34, 0.66, 0.26, 0.74, 0.2, 0.8]) {
			const m = at(k, part);
			const r = { x1: m.x - width / 2 - 2, y1: m.y - 12, x2: m.x + width / 2 + 2, y2: m.y + 12 };
			if (this.taken.some((o) => r.x1 < o.x2 && r.x2 > o.x1 && r.y1 < o.y2 && r.y2 > o.y1)) continue;
			this.taken.push(r);
			return m;
		}
		return at(k, 0.5);
	}

	// Finds the place of an edge's figures; gives back what paints them.
	private pill(e: cytoscape.EdgeSingular, k: Way): () => void {
		const edge = e.data("edge") as GraphEdge;
		const h = e.data("health") as Health;
		const nothing = () => undefined;
		if (h === "idle") return nothing;
		const c = this.c;
		const text = labelText(edge, this.view());
		const trouble = troubleText(edge, this.view());
		c.font = `600 11px ${FONT}`;
		const tw = text ? c.measureText(text).width : 0;
		const ew = trouble ? c.measureText(trouble).width + (tw ? 7 : 0) : 0;
		const lock = edge.traffic.mtls;
		const lw = lock === null ? 0 : 14;
		const width = lw + tw + ew + (tw + ew > 0 ? 13 + (lw ? 3 : 0) : lw ? 7 : 0);
		if (width === 0) return nothing;
		const m = this.freePlace(k, width);
		return () => this.paintPill(e, h, m.x, m.y, width, text, tw, trouble);
	}

	private paintPill(
		e: cytoscape.EdgeSingular,
		h: Health,
		mx: number,
		my: number,
		width: number,
		text: string,
		tw: number,
		trouble: string,
	): void {
		const c = this.c;
		const p = this.p;
		const lock = (e.data("edge") as GraphEdge).traffic.mtls;
		const strong = e.data("picked") || this.topo.hover.id === e.id();
		c.globalAlpha = this.presence(e);
		round(c, mx - width / 2, my - 10.5, width, 21, 10.5);
		c.fillStyle = strong ? p.raised : p.bg;
		c.fill();
		c.lineWidth = strong ? 1.5 : 1;
		c.strokeStyle = h === "bad" ? p.bad : h === "warn" ? p.warn : strong ? p.accent : p.lineStrong;
		c.stroke();
		let x = mx - width / 2 + (text || trouble ? 6.5 : 3.5);
		if (lock !== null) {
			const shut = lock > 0.999;
			glyph(c, shut ? icons.lock : icons.unlock, x - 1, my - 7, 13, shut ? p.mesh : p.warn, 1.7);
			x += 16;
		}
		c.font = `600 11px ${FONT}`;
		c.textAlign = "left";
		c.textBaseline = "middle";
		c.fillStyle = p.text;
		c.fillText(text, x, my + 0.5);
		if (trouble) {
			c.fillStyle = h === "bad" ? p.bad : p.warn;
			c.fillText(trouble, x + tw + (tw ? 7 : 0), my + 0.5);
		}
	}
}

function isVersion(v: string): boolean {
	return v !== "" && v !== "latest" && v !== "unknown";
}

function rank(e: Element_): number {
	if (e.data("picked")) return 9;
	const h = e.data("health") as Health;
	return (e.data("dim") ? 0 : 4) + (h === "bad" ? 3 : h === "warn" ? 2 : h === "ok" ? 1 : 0);
}

function hash(s: string): number {
	let v = 7;
	for (let i = 0; i < s.length; i++) v = (v * 31 + s.charCodeAt(i)) % 997;
	return v;
}

function subtitle(n: GraphNode): string {
	const t: Traffic = isIdle(n.in) ? n.out : n.in;
	if (n.kind === "outside") return "outside the mesh";
	if (isIdle(t)) return  n.kind === "service" ? "no endpoint reached" : "idle";
	const verb = isIdle(n.in) ? "→ " : "";
	const what = t.requests > 0 ? fmt.rate(t.requests) : t.connections > 0 ? fmt.count(t.connections) + " conn/s" : fmt.bytesRate(t.received + t.sent);
	const p95 = t.p95 !== null && !isIdle(n.in) ? " · " + fmt.ms(t.p95) : "";
	return verb + what + p95;
}

function labelText(e: GraphEdge, v: View): string {
	const t = e.traffic;
	switch (v.label) {
		case "rate":
			if (t.requests > 0) return fmt.rate(t.requests);
			return t.connections > 0 ? fmt.count(t.connections) + " conn/s" : t.open > 0 ? fmt.count(t.open) + " open" : "";
		case "latency":
			return t.p95 !== null ? "p95 " + fmt.ms(t.p95) : "L4";
		case "errors":
			return t.errorRate === null ? "L4" : fmt.percent(t.errorRate);
		case "bytes":
			return fmt.bytesRate(t.received + t.sent);
		case "share":
			return fmt.percent(e.share);
		case "none":
			return "";
	}
}

// What is wrong is said whatever the reader chose to see.
function troubleText(e: GraphEdge, v: View): string {
	const t = e.traffic;
	if (t.denied > 0) return fmt.rate(t.denied) + " denied";
	if ((t.errorRate ?? 0) > 0 && v.label !== "errors") return fmt.percent(t.errorRate) + " errors";
	if ((t.clientErrorRate ?? 0) >= 0.02) return fmt.percent(t.clientErrorRate) + " 4xx";
	return "";
}

