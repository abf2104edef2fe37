// health.ts -- one verdict for nodes and edges alike, so that colours mean the same everywhere.
import type { Traffic } from "./types";

export type Health = "idle" | "ok" | "warn" | "bad";

export function isIdle(t: Traffic): boolean {
	return t.requests + t.connections + t.received + t.sent + t.failed + t.denied + t.open === 0;
}

export function health(t: Traffic): Health {
	if (isIdle(t)) return "idle";
	if ((t.errorRate ?? 0) >= 0.02 || t.denied > 0) return "bad";
	if ((t.errorRate ?? 0) > 0 || (t.clientErrorRate ?? 0) >= 0.02) return "warn";
	return "ok";
}

// What the eye compares: requests where there are some, else connections, else a little for the bytes that flow.
export function load(t: Traffic): number {
	return t.requests || t.connections || Math.min(20, (t.received + t.sent) / 4096);
}
