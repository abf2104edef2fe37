// paint.ts -- colours of the theme as the canvas needs them, and the small drawing words that overlay.ts is made of.

export interface Palette {
	bg: string;
	surface: string;
	raised: string;
	line: string;
	lineStrong: string;
	text: string;
	dim: string;
	faint: string;
	accent: string;
	ok: string;
	warn: string;
	bad: string;
	mesh: string;
	waypoint: string;
	edge: string;
	idle: string;
	box: string;
	boxLine: string;
	shadow: string;
}

const NAMES: (keyof Palette)[] = [
	"bg",
	"surface",
	"raised",
	"line",
	"lineStrong",
	"text",
	"dim",
	"faint",
	"accent",
	"ok",
	"warn",
	"bad",
	"mesh",
	"waypoint",
	"edge",
	"idle",
	"box",
	"boxLine",
	"shadow",
];

export function palette(): Palette {
	const css = getComputedStyle(document.documentElement);
	const p = {} as Palette;
	for (const n of NAMES) p[n] = css.getPropertyValue("--" + n.replace(/[A-Z]/g, (c) => "-" + c.toLowerCase())).trim();
	return p;
}

export const FONT = "'Inter Variable', Inter, system-ui, sans-serif";

export function round(c: CanvasRenderingContext2D, x: number, y: number, w: number, h: number, r: number): void {
	c.beginPath();
	c.roundRect(x, y, w, h, r);
}

const fitted = new Map<string, string>();

// The text, cut with an ellipsis to what fits; remembered, because the same names are drawn sixty times a second.
export function fit(c: CanvasRenderingContext2D, text: string, width: number): string {
	const key = c.font + "\0" + width + "\0" + text;
	const kept = fitted.get(key);
	if (kept !== undefined) return kept;
	let out = text;
	if (c.measureText(text).width > width) {
		let n = text.length;
		while (n > 1 && c.measureText(text.slice(0, n) + "…").width > width) n--;
		out = text.slice(0, n) + "…";
	}
	if (fitted.size > 4000) fitted.clear();
	fitted.set(key, out);
	return out;
}

const glyphs = new Map<string, Path2D>();

// A glyph of the 16x16 grid (dom.ts icons), stroked at x, y.
export function glyph(c: CanvasRenderingContext2D, paths: string, x: number, y: number, size: number, colour: string, width = 1.5): void {
	let p = glyphs.get(paths);
	if (!p) {
		p = new Path2D(paths.split("|").join(" "));
		glyphs.set(paths, p);
	}
	c.save();
	c.translate(x, y);
	c.scale(size / 16, size / 16);
	c.lineWidth = width;
	c.lineCap = "round";
	c.lineJoin = "round";
	c.strokeStyle = colour;
	c.stroke(p);
	c.restore();
}

export interface Point {
	x: number;
	y: number;
}

// The way of an edge: from its start by quadratic curves, each towards a control point and on to the middle of it and the next, as
// Cytoscape draws its unbundled beziers. `samples` lie along it at equal steps of the curves' parameters.
export interface Way {
	start: Point;
	controls: Point[];
	end: Point;
	samples: Point[];
	lengths: number[]; // up to each sample
}

const STEPS = 14;

function mid(a: Point, b: Point): Point {
	return { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 };
}

export function way(start: Point, controls: Point[], end: Point): Way {
	const samples: Point[] = [start];
	const lengths = [0];
	let from = start;
	controls.forEach((c, i) => {
		const to = i + 1 < controls.length ? mid(c, controls[i + 1]!) : end;
		for (let k = 1; k <= STEPS; k++) {
			const t = k / STEPS;
			const u = 1 - t;
			const p = { x: u * u * from.x + 2 * u * t * c.x + t * t * to.x, y: u * u * from.y + 2 * u * t * c.y + t * t * to.y };
			const last = samples[samples.length - 1]!;
			lengths.push(lengths[lengths.length - 1]! + Math.hypot(p.x - last.x, p.y - last.y));
			samples.push(p);
		}
		from = to;
	});
	return { start, controls, end, samples, lengths };
}

export function trace(c: CanvasRenderingContext2D, w: Way): void {
	c.beginPath();
	c.moveTo(w.start.x, w.start.y);
	w.controls.forEach((k, i) => {
		const to = i + 1 < w.controls.length ? mid(k, w.controls[i + 1]!) : w.end;
		c.quadraticCurveTo(k.x, k.y, to.x, to.y);
	});
}

export function long(w: Way): number {
	return w.lengths[w.lengths.length - 1]!;
}

// The point at a part of the length: what moves along moves evenly.
export function at(w: Way, part: number): Point {
	const target = part * long(w);
	let lo = 0;
	let hi = w.lengths.length - 1;
	while (lo + 1 < hi) {
		const m = (lo + hi) >> 1;
		if (w.lengths[m]! <= target) lo = m;
		else hi = m;
	}
	const a = w.samples[lo]!;
	const b = w.samples[hi]!;
	const step = w.lengths[hi]! - w.lengths[lo]! || 1;
	const t = (target - w.lengths[lo]!) / step;
	return { x: a.x + (b.x - a.x) * t, y: a.y + (b.y - a.y) * t };
}

// The control points between two ends: out of one side, round by `bends`, into the opposite side.
export function controls(start: Point, end: Point, bends: Point[], down: boolean): Point[] {
	const span = Math.abs(down ? end.y - start.y : end.x - start.x);
	const reach = bends.length ? 44 : Math.max(40, span * 0.42);
	const out = down ? { x: start.x, y: start.y + reach } : { x: start.x + reach, y: start.y };
	const into = down ? { x: end.x, y: end.y - reach } : { x: end.x - reach, y: end.y };
	return [out, ...bends, into];
}

// From a node back to itself, beside it.
export function loop(start: Point, end: Point): Point[] {
	return [
		{ x: start.x + 46, y: start.y - 16 },
		{ x: start.x + 54, y: (start.y + end.y) / 2 },
		{ x: end.x + 46, y: end.y + 16 },
	];
}
