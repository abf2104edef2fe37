// topology.ts -- the picture: Cytoscape holds nodes, boxes and edges, and knows what the pointer is on; overlay.ts paints them.
import cytoscape from "cytoscape";
import { health, load } from "./health";
import { place, type Direction, type Layout, type LayoutNode, type Places } from "./layout";
import { controls, loop, way, type Point, type Way } from "./paint";
import type { Graph, GraphEdge, GraphNode } from "./types";
import type { View } from "./state";

export const CARD = { width: 166, height: 52 };
type Element_ = cytoscape.NodeSingular | cytoscape.EdgeSingular;

const PLACES_KEY = "ambit.places";

export interface Handlers {
	select(what: string | null): void;
	open(what: string): void;
}

export interface Hover {
	id: string | null;
}

interface Box {
	id: string;
	parent: string | null;
	label: string;
	kind: "namespace" | "app";
}

const boxId = (namespace: string) => "ns:" + namespace;

// A box for each namespace, and one for each service that runs in more than one version.
function boxes(nodes: GraphNode[]): { boxes: Box[]; parent: Map<string, string | null> } {
	const made = new Map<string, Box>();
	const parent = new Map<string, string | null>();
	const versions = new Map<string, Set<string>>();
	for (const n of nodes) {
		if (n.kind !== "workload") continue;
		const app = `app:${n.namespace}/${n.app}`;
		versions.set(app, (versions.get(app) ?? new Set()).add(n.id));
	}
	for (const n of nodes) {
		if (n.kind === "outside" || n.namespace === "") {
			parent.set(n.id, null);
			continue;
		}
		const ns = boxId(n.namespace);
		if (!made.has(ns)) made.set(ns, { id: ns, parent: null, label: n.namespace, kind: "namespace" });
		const app = `app:${n.namespace}/${n.app}`;
		if (n.kind === "workload" && (versions.get(app)?.size ?? 0) > 1) {
			if (!made.has(app)) made.set(app, { id: app, parent: ns, label: n.app, kind: "app" });
			parent.set(n.id, app);
		} else {
			parent.set(n.id, ns);
		}
	}
	return { boxes: [...made.values()], parent };
}

// Control points in Cytoscape's terms: weights along the line between the two ends, distances beside it.
function relative(start: Point, end: Point, points: Point[]): { weights: number[]; distances: number[] } {
	const dx = end.x - start.x;
	const dy = end.y - start.y;
	const l2 = dx * dx + dy * dy || 1;
	const l = Math.sqrt(l2);
	return {
		weights: points.map((p) => ((p.x - start.x) * dx + (p.y - start.y) * dy) / l2),
		distances: points.map((p) => (-(p.x - start.x) * dy + (p.y - start.y) * dx) / l),
	};
}

export class Topology {
	readonly cy: cytoscape.Core;
	readonly hover: Hover = { id: null };
	private shape = "";
	private moved: Places = new Map();
	private bends: Layout["bends"] = new Map();
	direction: Direction = "LR";
	private ways = new Map<string, Way>();
	private fitted = false;
	private steered = false; // the reader moved or zoomed the picture; until it is fitted again it stays where it is

	constructor(
		readonly container: HTMLElement,
		private handlers: Handlers,
	) {
		this.cy = cytoscape({
			container,
			style: this.style(),
			minZoom: 0.02,
			maxZoom: 2.5,
			boxSelectionEnabled: false,
			autounselectify: true,
			pixelRatio: "auto",
		});
		try {
			this.moved = new Map(JSON.parse(localStorage.getItem(PLACES_KEY) ?? "[]") as [string, { x: number; y: number }][]);
		} catch {
			this.moved = new Map();
		}
		this.bind();
	}

	private bind(): void {
		const cy = this.cy;
		cy.on("tap", (e) => {
			const t = e.target as Element_ | cytoscape.Core;
			if (t === cy) return this.handlers.select(null);
			const el = t as Element_;
			if (el.data("box")) return this.handlers.select(null);
			this.handlers.select((el.isNode() ? "node:" : "edge:") + el.id());
		});
		cy.on("mouseover", "node, edge", (e) => {
			const el = e.target as Element_;
			if (el.data("box")) return;
			this.hover.id = el.id();
			this.container.style.cursor = "pointer";
		});
		cy.on("mouseout", "node, edge", () => {
			this.hover.id = null;
			this.container.style.cursor = "";
		});
		cy.on("dragpan scrollzoom pinchzoom", () => (this.steered = true));
		cy.on("dragfree", "node", () => {
			for (const n of cy.nodes("[!box]")) this.moved.set(n.id(), { ...n.position() });
			localStorage.setItem(PLACES_KEY, JSON.stringify([...this.moved]));
		});
		cy.on("position", "node", (e) => {
			(e.target as cytoscape.NodeSingular).connectedEdges().forEach((edge) => this.bend(edge));
		});
	}

	private style(): cytoscape.StylesheetJson {
		return [
			{
				selector: "node[!box]",
				style: {
					shape: "round-rectangle",
					width: CARD.width,
					height: CARD.height,
					"background-opacity": 0,
					"border-width": 0,
					label: "",
					"overlay-opacity": 0,
				},
			},
			{ selector: "node[kind = 'waypoint']", style: { width: CARD.width - 8 } },
			{
				selector: "node[box]",
				style: {
					shape: "round-rectangle",
					"background-opacity": 0,
					"border-width": 0,
					label: "",
					"overlay-opacity": 0,
					events: "yes",
				},
			},
			{ selector: "node[box = 'namespace']", style: { padding: "30px" } },
			{ selector: "node[box = 'app']", style: { padding: "20px" } },
			{
				selector: "edge",
				style: {
					"curve-style": "unbundled-bezier",
					"control-point-weights": "data(weights)" as unknown as number[],
					"control-point-distances": "data(distances)" as unknown as number[],
					"edge-distances": "endpoints",
					"source-endpoint": "data(from)" as unknown as string,
					"target-endpoint": "data(to)" as unknown as string,
					width: 14,
					opacity: 0,
					label: "",
					"overlay-opacity": 0,
				} as unknown as cytoscape.Css.Edge,
			},
		];
	}

	private bend(edge: cytoscape.EdgeSingular): void {
		const nth = edge.data("nth") as number;
		const aside = nth === 0 ? 0 : (nth % 2 ? 1 : -1) * Math.ceil(nth / 2) * 13;
		const down = this.direction === "TB";
		const s = edge.source();
		const t = edge.target();
		const isLoop = s.id() === t.id();
		let from = down ? { x: aside, y: CARD.height / 2 } : { x: CARD.width / 2, y: aside };
		let to = down ? { x: aside, y: -CARD.height / 2 } : { x: -CARD.width / 2, y: aside };
		if (isLoop) [from, to] = [{ x: CARD.width / 2, y: -12 }, { x: CARD.width / 2, y: 12 }];
		const sp = s.position();
		const tp = t.position();
		const start = { x: sp.x + from.x, y: sp.y + from.y };
		const end = { x: tp.x + to.x, y: tp.y + to.y };
		// Round by the columns between, unless somebody moved an end.
		const bends = this.moved.has(s.id()) || this.moved.has(t.id()) ? [] : (this.bends.get(s.id() + "\0" + t.id()) ?? []);
		const points = isLoop ? loop(start, end) : controls(start, end, bends, down);
		const px = (p: Point) => `${p.x}px ${p.y}px`;
		edge.data({ ...relative(start, end, points), from: px(from), to: px(to) });
		this.ways.set(edge.id(), way(start, points, isLoop ? { x: end.x + 4, y: end.y } : down ? { x: end.x, y: end.y - 4 } : { x: end.x - 4, y: end.y }));
	}

	way(edge: cytoscape.EdgeSingular): Way {
		let w = this.ways.get(edge.id());
		if (!w) {
			this.bend(edge);
			w = this.ways.get(edge.id())!;
		}
		return w;
	}

	update(g: Graph, view: View): void {
		const { boxes: wanted, parent } = boxes(g.nodes);
		const shape = JSON.stringify([wanted.map((b) => b.id).sort(), g.nodes.map((n) => n.id).sort()]);
		const reshaped = shape !== this.shape;
		this.cy.batch(() => {
			this.sync(g, wanted, parent);
		});
		if (reshaped) {
			this.shape = shape;
			this.arrange(!this.fitted);
		}
		this.cy.edges().forEach((e) => this.bend(e));
		this.highlight(view);
	}

	private sync(g: Graph, wanted: Box[], parent: Map<string, string | null>): void {
		const cy = this.cy;
		const keep = new Set<string>([...wanted.map((b) => b.id), ...g.nodes.map((n) => n.id), ...g.edges.map((e) => e.id)]);
		for (const b of wanted) {
			if (cy.getElementById(b.id).empty()) {
				cy.add({ group: "nodes", data: { id: b.id, box: b.kind, label: b.label, ...(b.parent ? { parent: b.parent } : {}) } });
			}
		}
		for (const n of g.nodes) this.syncNode(n, parent.get(n.id) ?? null);
		const ranks = new Map<string, number>();
		for (const e of g.edges) {
			const pair = e.source + "\0" + e.target;
			const nth = ranks.get(pair) ?? 0;
			ranks.set(pair, nth + 1);
			this.syncEdge(e, nth);
		}
		cy.elements().forEach((el) => {
			if (keep.has(el.id())) return;
			this.ways.delete(el.id());
			el.remove();
		});
	}

	private syncNode(n: GraphNode, parent: string | null): void {
		const old = this.cy.getElementById(n.id);
		const data = { kind: n.kind, node: n };
		if (old.empty()) {
			this.cy.add({
				group: "nodes",
				data: { id: n.id, ...data, born: performance.now(), ...(parent ? { parent } : {}) },
			});
			return;
		}
		old.data(data);
		if ((old.parent().first().id() ?? null) !== parent) old.move({ parent });
	}

	// Parallel edges leave a little apart from each other.
	private syncEdge(e: GraphEdge, nth: number): void {
		const old = this.cy.getElementById(e.id);
		const data = { edge: e, health: health(e.traffic), load: load(e.traffic), nth };
		if (old.nonempty()) {
			old.data(data);
			return;
		}
		this.cy.add({
			group: "edges",
			data: {
				id: e.id,
				source: e.source,
				target: e.target,
				born: performance.now(),
				...data,
				from: "0px 0px",
				to: "0px 0px",
				weights: [0.25, 0.75],
				distances: [0, 0],
			},
		});
	}

	private computed(): Layout {
		const nodes: LayoutNode[] = [];
		const groups: { id: string; parent: string | null }[] = [];
		this.cy.nodes().forEach((n) => {
			const parent = n.parent().first().id() ?? null;
			if (n.data("box")) groups.push({ id: n.id(), parent });
			else nodes.push({ id: n.id(), parent, width: CARD.width, height: CARD.height + (parent ? 8 : 0) });
		});
		const edges = this.cy.edges().map((e) => ({ source: e.source().id(), target: e.target().id() }));
		return place(nodes, groups, edges, { w: this.container.clientWidth - 60, h: this.container.clientHeight - 90 });
	}

	// Where somebody put a node it stays; the rest glides to its place.
	private arrange(first: boolean): void {
		const { places, bends, direction } = this.computed();
		this.bends = bends;
		this.direction = direction;
		const quiet = first || matchMedia("(prefers-reduced-motion: reduce)").matches;
		this.cy.nodes("[!box]").forEach((n) => {
			const to = this.moved.get(n.id()) ?? places.get(n.id());
			if (!to) return;
			const isNew = performance.now() - (n.data("born") as number) < 50;
			if (quiet || isNew) n.position(to);
			else n.animate({ position: to }, { duration: 600, easing: "ease-in-out-cubic" });
		});
		this.fitted = true;
		if (first) this.fit(false);
		else if (!this.steered) this.fitTo(this.extent(places), !quiet);
	}

	// Where all cards will stand when the animation is over, with the boxes around them.
	private extent(places: Places): { x1: number; y1: number; x2: number; y2: number } {
		const e = { x1: Infinity, y1: Infinity, x2: -Infinity, y2: -Infinity };
		this.cy.nodes("[!box]").forEach((n) => {
			const p = this.moved.get(n.id()) ?? places.get(n.id());
			if (!p) return;
			e.x1 = Math.min(e.x1, p.x - CARD.width / 2 - 52);
			e.x2 = Math.max(e.x2, p.x + CARD.width / 2 + 52);
			e.y1 = Math.min(e.y1, p.y - CARD.height / 2 - 32);
			e.y2 = Math.max(e.y2, p.y + CARD.height / 2 + 32);
		});
		for (const points of this.bends.values()) {
			for (const p of points) {
				e.x1 = Math.min(e.x1, p.x - 60);
				e.x2 = Math.max(e.x2, p.x + 60);
			}
		}
		return e;
	}

	fit(animated = true): void {
		const now: Places = new Map();
		this.cy.nodes("[!box]").forEach((n) => {
			now.set(n.id(), { ...n.position() });
		});
		this.steered = false;
		if (now.size > 0) this.fitTo(this.extent(now), animated);
	}

	private fitTo(box: { x1: number; y1: number; x2: number; y2: number }, animated: boolean): void {
		const padding = Math.min(14, this.container.clientWidth * 0.02);
		const legend = this.container.clientHeight > 480 ? 34 : 0;
		const w = this.container.clientWidth;
		const h = this.container.clientHeight - legend;
		const zoom = Math.min((w - 2 * padding) / (box.x2 - box.x1), (h - 2 * padding) / (box.y2 - box.y1), 1.1);
		const pan = { x: (w - zoom * (box.x1 + box.x2)) / 2, y: (h - zoom * (box.y1 + box.y2)) / 2 };
		if (animated) this.cy.animate({ zoom, pan }, { duration: 600, easing: "ease-in-out-cubic" });
		else this.cy.viewport({ zoom, pan });
	}

	relayout(): void {
		this.moved.clear();
		localStorage.removeItem(PLACES_KEY);
		this.steered = false;
		this.arrange(false);
	}

	zoomBy(factor: number): void {
		this.steered = true;
		const c = { x: this.container.clientWidth / 2, y: this.container.clientHeight / 2 };
		this.cy.zoom({ level: this.cy.zoom() * factor, renderedPosition: c });
	}

	resized(): void {
		this.cy.resize();
		if (this.fitted && !this.steered) this.fit(false);
	}

	// Everything that has nothing to do with the selection or the search steps back.
	highlight(view: View): void {
		const q = view.query.trim().toLowerCase();
		const id = view.selected?.slice(5) ?? null;
		const el = id ? this.cy.getElementById(id) : this.cy.collection();
		const near: cytoscape.Collection | null = el.empty()
			? null
			: el.is("node")
				? el.closedNeighborhood()
				: el.union((el as unknown as cytoscape.EdgeCollection).connectedNodes());
		this.cy.elements("[!box]").forEach((e) => {
			let dim = false;
			if (q !== "") dim = !matches(e, q);
			else if (near) dim = !near.contains(e);
			e.data("dim", dim);
			e.data("picked", e.id() === id);
		});
	}

	step(from: string | null, key: "ArrowLeft" | "ArrowRight" | "ArrowUp" | "ArrowDown"): string | null {
		const cards = this.cy.nodes("[!box]");
		const now = from?.startsWith("node:") ? this.cy.getElementById(from.slice(5)) : this.cy.collection();
		if (now.empty()) return cards.nonempty() ? "node:" + cards.sort((a, b) => a.position("x") - b.position("x")).first().id() : null;
		const p = now.position();
		const horizontal = key === "ArrowLeft" || key === "ArrowRight";
		const sign = key === "ArrowRight" || key === "ArrowDown" ? 1 : -1;
		let best: string | null = null;
		let bestCost = Infinity;
		cards.forEach((n) => {
			const d = { x: n.position("x") - p.x, y: n.position("y") - p.y };
			const along = sign * (horizontal ? d.x : d.y);
			const cost = along + 2.5 * Math.abs(horizontal ? d.y : d.x);
			if (along > 10 && cost < bestCost) [best, bestCost] = ["node:" + n.id(), cost];
		});
		return best;
	}
}

function matches(el: Element_, q: string): boolean {
	const nodeText = (n: GraphNode) => [n.name, n.namespace, n.app, n.version, n.principal, ...n.hosts].join(" ").toLowerCase();
	if (el.isNode()) return nodeText(el.data("node") as GraphNode).includes(q);
	const e = el as cytoscape.EdgeSingular;
	const service = (e.data("edge") as GraphEdge).service;
	return (
		nodeText(e.source().data("node") as GraphNode).includes(q) ||
		nodeText(e.target().data("node") as GraphNode).includes(q) ||
		(service?.host.includes(q) ?? false)
	);
}
