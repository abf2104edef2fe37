// api.ts -- asks the role for its answers; one request of each kind at a time, the newest wins.
import type { EdgeDetail, Graph, MeshEvent, Series, Target, WaypointInfo } from "./types";
import type { View } from "./state";

const running = new Map<string, AbortController>();

async function get<T>(kind: string, path: string, params: Record<string, string | number | null>): Promise<T> {
	running.get(kind)?.abort();
	const abort = new AbortController();
	running.set(kind, abort);
	const timer = setTimeout(() => abort.abort(new Error("no answer within 10 s")), 10_000);
	const q = new URLSearchParams();
	for (const [k, v] of Object.entries(params)) if (v !== null) q.set(k, String(v));
	try {
		const answer = await fetch(`api/${path}?${q}`, { signal: abort.signal, cache: "no-store" });
		if (!answer.ok) {
			const text = await answer.text();
			let said = answer.statusText;
			try {
				said = (JSON.parse(text) as { error?: string }).error ?? said;
			} catch {
				// not JSON: the status line is all there is to say
			}
			throw new Error(`${answer.status}: ${said}`);
		}
		return (await answer.json()) as T;
	} finally {
		clearTimeout(timer);
		if (running.get(kind) === abort) running.delete(kind);
	}
}

const common = (v: View) => ({ window: v.window, waypoints: v.waypoints, level: v.level, at: v.at });

export const graph = (v: View) => get<Graph>("graph", "graph", common(v));
export const edge = (v: View, id: string) => get<EdgeDetail>("edge", "edge", { ...common(v), id });
export const series = (v: View, select: Record<string, string>, span: number, kind = "series") =>
	get<Series>(kind, "series", { waypoints: v.waypoints, level: v.level, at: v.at, window: span, ...select });
// The time line always ends now.
export const line = (span: number) => get<Series>("line", "series", { window: span });
export const waypoints = (v: View) => get<{ items: WaypointInfo[] }>("waypoints", "waypoints", common(v));
export const events = () => get<{ items: MeshEvent[] }>("events", "events", {});
export const targets = () => get<{ items: Target[] }>("targets", "targets", {});

// A request that a newer one replaced is not a failure.
export function isReplaced(e: unknown): boolean {
	return e instanceof DOMException && e.name === "AbortError";
}
