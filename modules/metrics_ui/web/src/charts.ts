// charts.ts -- small uPlot charts in the page's own colours; a chart keeps its place while its figures change.
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { h } from "./dom";
import { FONT, palette } from "./paint";
import type { Series } from "./types";

export interface Line {
	label: string;
	colour: "accent" | "mesh" | "bad" | "warn" | "waypoint" | "ok" | "dim";
	pick: (s: Series) => (number | null)[];
	fill?: boolean;
}

export class Chart {
	readonly el: HTMLElement;
	private plot: uPlot | null = null;
	private values: HTMLElement[] = [];
	private body = h("div", { class: "chart-body" });

	constructor(
		title: string,
		private lines: Line[],
		private format: (v: number) => string,
		private height = 96,
		private worth: (s: Series) => boolean = () => true, // is there anything to show?
	) {
		const legend = lines.map((l) => {
			const value = h("b", {}, "–");
			this.values.push(value);
			return h("span", { class: "key" }, h("i", { class: "swatch " + l.colour }), l.label, value);
		});
		this.el = h("section", { class: "chart" }, h("header", {}, h("h4", {}, title), h("div", { class: "keys" }, legend)), this.body);
	}

	private data(s: Series): uPlot.AlignedData {
		return [s.t, ...this.lines.map((l) => l.pick(s))] as uPlot.AlignedData;
	}

	show(s: Series): void {
		const data = this.data(s);
		this.el.hidden = !this.worth(s);
		this.legend(data, null);
		if (this.plot) {
			this.plot.setData(data);
			return;
		}
		if (this.body.clientWidth === 0) return;
		this.plot = new uPlot(this.options(), data, this.body);
	}

	// The newest figures, or those under the pointer.
	private legend(data: uPlot.AlignedData, i: number | null): void {
		this.values.forEach((el, n) => {
			const column = data[n + 1] as (number | null)[];
			let at = i ?? column.length - 1;
			if (i === null) while (at > 0 && column[at] === null) at--;
			const v = column[at];
			el.textContent = v === null || v === undefined ? "–" : this.format(v);
		});
	}

	private options(): uPlot.Options {
		const p = palette();
		const grid = { stroke: p.line, width: 1 };
		const font = `11px ${FONT}`;
		return {
			width: this.body.clientWidth,
			height: this.height,
			padding: [8, 16, 0, 0],
			legend: { show: false },
			cursor: { y: false, points: { size: 7 }, sync: { key: "ambit" }, drag: { x: false, y: false } },
			scales: { x: { time: true }, y: { range: (_u, min, max) => [Math.min(0, min), max > 0 ? max * 1.15 : 1] } },
			axes: [
				{ stroke: p.faint, grid: { show: false }, ticks: { show: false }, font, size: 22, space: 70, gap: 2,
					values: (_u, ticks) => ticks.map((t) => clockTick(t)) },
				{ stroke: p.faint, grid, ticks: { show: false }, font, size: 50, space: 30, gap: 4,
					values: (_u, ticks) => ticks.map((t) => this.format(t)) },
			],
			series: [
				{},
				...this.lines.map(
					(l): uPlot.Series => ({
						label: l.label,
						stroke: p[l.colour],
						width: 1.6,
						spanGaps: false,
						points: { show: false },
						...(l.fill ? { fill: p[l.colour] + "22" } : {}),
					}),
				),
			],
			hooks: { setCursor: [(u) => this.legend(u.data, u.cursor.idx ?? null)] },
		};
	}

	resize(): void {
		if (this.plot && this.body.clientWidth > 0) this.plot.setSize({ width: this.body.clientWidth, height: this.height });
	}

	// The theme changed: colours are baked into the plot.
	recolour(): void {
		this.plot?.destroy();
		this.plot = null;
	}
}

function clockTick(t: number): string {
	const d = new Date(t * 1000);
	const two = (n: number) => String(n).padStart(2, "0");
	const s = d.getSeconds();
	return two(d.getHours()) + ":" + two(d.getMinutes()) + (s ? ":" + two(s) : "");
}
