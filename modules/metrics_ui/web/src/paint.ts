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
export interface Curve {
	a: Point;
	b: Point;
	c: Point;
	d: Point;
}

export function at({ a, b, c, d }: Curve, t: number): Point {
	const u = 1 - t;
	const w0 = u * u * u;
	const w1 = 3 * u * u * t;
	const w2 = 3 * u * t * t;
	const w3 = t * t * t;
	return { x: w0 * a.x + w1 * b.x + w2 * c.x + w3 * d.x, y: w0 * a.y + w1 * b.y + w2 * c.y + w3 * d.y };
}

export function reach(sx: number, tx: number): number {
	return Math.max(50, Math.abs(tx - sx) * 0.45);
}
