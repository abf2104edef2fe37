// types.ts -- what /api answers (modules/metrics_ui/ui_api.c). Rates are per second, times in ms, fractions 0..1.

export interface Traffic {
	requests: number;
	errorRate: number | null; // 5xx and unanswered of requests; failed of connections where there are no requests
	clientErrorRate: number | null; // 4xx
	p50: number | null;
	p95: number | null;
	p99: number | null;
	codes: Record<string, number>;
	connections: number;
	open: number;
	failed: number;
	denied: number;
	received: number; // bytes towards the server
	sent: number; // bytes back to the client
	mtls: number | null;
}

export interface Service {
	host: string;
	name: string;
	namespace: string;
}

export type NodeKind = "workload" | "service" | "waypoint" | "outside";

export interface GraphNode {
	id: string;
	kind: NodeKind;
	namespace: string;
	name: string;
	app: string;
	version: string;
	principal: string;
	hosts: string[];
	waypoint: string | null;
	idle: boolean;
	in: Traffic;
	out: Traffic;
}

export interface Hop {
	kind: "client" | "waypoint" | "server" | "direct";
	reporter: string;
	from: string;
	to: string;
	traffic: Traffic;
}

export interface GraphEdge {
	id: string;
	source: string;
	target: string;
	service: Service | null;
	protocol: string;
	reporter: string;
	via: string[];
	bypass: boolean;
	share: number; // of what the source sends to this service
	traffic: Traffic;
}

export interface EdgeDetail extends GraphEdge {
	sourcePrincipal: string;
	targetPrincipal: string;
	hops: Hop[];
}

export interface Graph {
	time: number; // end of the window, ms
	window: number; // seconds
	measured: number; // seconds of it that were measured
	waypoints: "folded" | "shown";
	level: "workload" | "service";
	targets: { up: number; total: number };
	control: { connected: boolean; message: string };
	nodes: GraphNode[];
	edges: GraphEdge[];
}

export interface Series {
	t: number[]; // seconds
	requests: number[];
	errors: number[];
	clientErrors: number[];
	p50: (number | null)[];
	p95: (number | null)[];
	p99: (number | null)[];
	received: number[];
	sent: number[];
	connections: number[];
	open: number[];
	failed: number[];
}

export interface WaypointInfo {
	id: string;
	namespace: string;
	name: string;
	managed: boolean;
	ready: boolean;
	message: string;
	addresses: string[];
	services: string[];
	reasons: { text: string; object: string }[];
	traffic: Traffic;
}

export interface MeshEvent {
	t: number; // ms
	verb: "added" | "changed" | "removed";
	kind: string;
	namespace: string;
	name: string;
	summary: string;
}

export interface Target {
	name: string;
	role: string;
	address: string;
	up: boolean;
	message: string;
	age: number | null; // seconds since the last good answer
	series: number;
}
