// layout.ts -- where nodes stand: dagre, from clients to servers (to the right, or down), namespaces and services as clusters. Same input, same places.
import dagre from "@dagrejs/dagre";

export interface LayoutNode {
	id: string;
	parent: string | null;
	width: number;
	height: number;
}
export interface Group {
	id: string;
	parent: string | null;
}
export interface LayoutEdge {
	source: string;
	target: string;
}
export interface Point {
	x: number;
	y: number;
}
export type Places = Map<string, Point>;
export type Direction = "LR" | "TB";
export interface Layout {
	direction: Direction;
	places: Places;
	size: { w: number; h: number };
	bends: Map<string, Point[]>; // "source\0target": where a long edge passes between the nodes of the columns that it crosses
}

function run(direction: Direction, nodes: LayoutNode[], groups: Group[], edges: LayoutEdge[]): Layout {
	const lr = direction === "LR";
	const g = new dagre.graphlib.Graph({ compound: true, multigraph: false });
	g.setGraph({ rankdir: direction, nodesep: lr ? 24 : 34, ranksep: lr ? 18 : 16, edgesep: 26, ranker: "network-simplex" });
	g.setDefaultEdgeLabel(() => ({}));
	const sorted = [...nodes].sort((a, b) => (a.id < b.id ? -1 : 1));
	for (const gr of [...groups].sort((a, b) => (a.id < b.id ? -1 : 1))) g.setNode(gr.id, {});
	for (const n of sorted) g.setNode(n.id, { width: n.width, height: n.height });
	for (const gr of groups) if (gr.parent) g.setParent(gr.id, gr.parent);
	for (const n of sorted) if (n.parent) g.setParent(n.id, n.parent);
	for (const e of [...edges].sort((a, b) => (a.source + a.target < b.source + b.target ? -1 : 1))) {
		if (e.source !== e.target) g.setEdge(e.source, e.target, { width: lr ? 62 : 84, height: lr ? 24 : 26, labelpos: "c" });
	}
	dagre.layout(g);
	const places: Places = new Map();
	for (const n of sorted) {
		const p = g.node(n.id);
		places.set(n.id, { x: Math.round(p.x), y: Math.round(p.y) });
	}
	const bends = new Map<string, Point[]>();
	for (const e of g.edges()) {
		const points = (g.edge(e) as { points?: Point[] }).points ?? [];
		const from = places.get(e.v)!;
		const to = places.get(e.w)!;
		const node = nodes.find((n) => n.id === e.v);
		const reach = lr ? (node?.width ?? 0) : 1.4 * (node?.height ?? 0);
		const along = (p: Point) => (lr ? p.x : p.y);
		// What lies beside the two ends says nothing; what lies in the ranks between them is the way round.
		const between = points.filter((p) => along(p) > along(from) + reach && along(p) < along(to) - reach);
		if (along(to) - along(from) < 2.4 * reach || between.length === 0) continue;
		// The curve only tends towards its control points: with the middle as one of them it stays on the line between the others.
		const [first, last] = [between[0]!, between[between.length - 1]!];
		const half = { x: (first.x + last.x) / 2, y: (first.y + last.y) / 2 };
		bends.set(e.v + "\0" + e.w, between.length === 1 ? between : [first, half, last]);
	}
	const { width = 1, height = 1 } = g.graph();
	return { direction, places, bends, size: { w: width, h: height } };
}

// Whichever way fills the window better; to the right when that is nearly as good, as one reads.
export function place(nodes: LayoutNode[], groups: Group[], edges: LayoutEdge[], window: { w: number; h: number }): Layout {
	const right = run("LR", nodes, groups, edges);
	const down = run("TB", nodes, groups, edges);
	const zoom = (l: Layout) => Math.min(1.1, window.w / l.size.w, window.h / l.size.h);
	return zoom(right) >= 0.9 * zoom(down) ? right : down;
}
