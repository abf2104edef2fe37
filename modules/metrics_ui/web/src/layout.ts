// layout.ts -- where nodes stand: dagre, left to right, namespaces and services as clusters. Same input, same places.
import dagre from "@dagrejs/dagre";

export interface LayoutNode {
	id: string;
	parent: string | null;
	width: number;
	height: number;
}
export interface LayoutEdge {
	source: string;
	target: string;
}
export type Places = Map<string, { x: number; y: number }>;

// Clusters that have no traffic with the rest are laid out apart and stacked below, instead of stretching the picture.
export function place(nodes: LayoutNode[], groups: { id: string; parent: string | null }[], edges: LayoutEdge[]): Places {
	const g = new dagre.graphlib.Graph({ compound: true, multigraph: false });
	g.setGraph({ rankdir: "LR", nodesep: 26, ranksep: 16, edgesep: 20, marginx: 20, marginy: 20, ranker: "network-simplex" });
	g.setDefaultEdgeLabel(() => ({}));
	const sorted = [...nodes].sort((a, b) => (a.id < b.id ? -1 : 1));
	for (const gr of [...groups].sort((a, b) => (a.id < b.id ? -1 : 1))) g.setNode(gr.id, {});
	for (const n of sorted) g.setNode(n.id, { width: n.width, height: n.height });
	for (const gr of groups) if (gr.parent) g.setParent(gr.id, gr.parent);
	for (const n of sorted) if (n.parent) g.setParent(n.id, n.parent);
	for (const e of [...edges].sort((a, b) => (a.source + a.target < b.source + b.target ? -1 : 1))) {
		if (e.source !== e.target) g.setEdge(e.source, e.target, { width: 44, height: 24, labelpos: "c", weight: 1 });
	}
	dagre.layout(g);
	const places: Places = new Map();
	for (const n of sorted) {
		const p = g.node(n.id);
		places.set(n.id, { x: Math.round(p.x), y: Math.round(p.y) });
	}
	return places;
}
