// dom.ts -- elements without a framework: h("button", {class: "x", onclick}, "text").

type Attrs = Record<string, string | number | boolean | null | undefined | ((e: never) => void)>;
export type Child = Node | string | number | null | undefined | false | Child[];

function append(el: Element, children: Child[]): void {
	for (const c of children) {
		if (c === null || c === undefined || c === false) continue;
		if (Array.isArray(c)) append(el, c);
		else el.append(c instanceof Node ? c : String(c));
	}
}

function setAttrs(el: Element, attrs: Attrs): void {
	for (const [k, v] of Object.entries(attrs)) {
		if (typeof v === "function") el.addEventListener(k.slice(2), v as EventListener);
		else if (v === true) el.setAttribute(k, "");
		else if (v !== false && v !== null && v !== undefined) el.setAttribute(k, String(v));
	}
}

export function h<K extends keyof HTMLElementTagNameMap>(
	tag: K,
	attrs: Attrs = {},
	...children: Child[]
): HTMLElementTagNameMap[K] {
	const el = document.createElement(tag);
	setAttrs(el, attrs);
	append(el, children);
	return el;
}

// An icon: the inside of a 16x16 drawing of strokes.
export function icon(paths: string, size = 16): SVGSVGElement {
	const ns = "http://www.w3.org/2000/svg";
	const svg = document.createElementNS(ns, "svg");
	setAttrs(svg, { viewBox: "0 0 16 16", width: size, height: size, class: "icon", "aria-hidden": "true" });
	for (const d of paths.split("|")) {
		const p = document.createElementNS(ns, "path");
		p.setAttribute("d", d);
		svg.append(p);
	}
	return svg;
}

export const icons = {
	search: "M7 2.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9|M10.5 10.5 14 14",
	pause: "M5.5 3.5v9|M10.5 3.5v9",
	play: "M5 3.2 12.5 8 5 12.8z",
	sun: "M8 5.2a2.8 2.8 0 1 0 0 5.6 2.8 2.8 0 0 0 0-5.6|M8 1.2v1.6M8 13.2v1.6M1.2 8h1.6M13.2 8h1.6M3.2 3.2l1.1 1.1M11.7 11.7l1.1 1.1M3.2 12.8l1.1-1.1M11.7 4.3l1.1-1.1",
	moon: "M13 9.6A5.4 5.4 0 0 1 6.4 3a5.4 5.4 0 1 0 6.6 6.6z",
	plus: "M8 3v10|M3 8h10",
	minus: "M3 8h10",
	fit: "M2.5 6V2.5H6|M10 2.5h3.5V6|M13.5 10v3.5H10|M6 13.5H2.5V10",
	layout: "M2.5 3h4v4h-4z|M9.5 9h4v4h-4z|M6.5 5h3.2a2 2 0 0 1 2 2v2",
	close: "M4 4l8 8|M12 4l-8 8",
	lock: "M4 7.5h8v5.5H4z|M5.5 7.5V5.2a2.5 2.5 0 0 1 5 0v2.3",
	unlock: "M4 7.5h8v5.5H4z|M5.5 7.5V4.7a2.4 2.4 0 0 1 4.6-1",
	arrow: "M3 8h9.5|M9 4.5 12.5 8 9 11.5",
	help: "M6 6.2a2 2 0 1 1 2.8 1.9c-.6.3-.8.7-.8 1.4|M8 11.8v.2",
	waypoint: "M8 2l5.2 3v6L8 14l-5.2-3V5z|M5.5 8h5|M8.8 6.2 10.6 8l-1.8 1.8",
	warn: "M8 2.5 14 13H2z|M8 6.5v3M8 11.2v.2",
	panel: "M2.5 3h11v10h-11z|M10 3v10",
};

export function clear(el: Element): void {
	el.replaceChildren();
}
