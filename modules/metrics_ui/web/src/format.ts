// format.ts -- numbers for people: short, steady in width, with their unit.

const nf = (digits: number) => new Intl.NumberFormat("en", { maximumFractionDigits: digits });
const whole = nf(0);
const one = nf(1);
const two = nf(2);

function short(v: number): string {
	const a = Math.abs(v);
	if (a === 0) return "0";
	if (a < 0.01) return "<0.01";
	if (a < 1) return two.format(v);
	if (a < 100) return one.format(v);
	if (a < 10_000) return whole.format(v);
	if (a < 1_000_000) return one.format(v / 1e3) + "k";
	return one.format(v / 1e6) + "M";
}

export function rate(v: number): string {
	return short(v) + "/s";
}

export function count(v: number): string {
	return short(v);
}

export function bytes(v: number): string {
	const units = ["B", "KB", "MB", "GB", "TB"];
	let i = 0;
	while (v >= 1000 && i < units.length - 1) {
		v /= 1000;
		i++;
	}
	return (v < 10 && i > 0 ? one : whole).format(v) + " " + units[i];
}

export function bytesRate(v: number): string {
	return bytes(v) + "/s";
}

export function ms(v: number | null | undefined): string {
	if (v === null || v === undefined) return "–";
	if (v < 1) return two.format(v) + " ms";
	if (v < 10) return one.format(v) + " ms";
	if (v < 1000) return whole.format(v) + " ms";
	return two.format(v / 1000) + " s";
}

export function percent(v: number | null | undefined): string {
	if (v === null || v === undefined) return "–";
	const p = v * 100;
	if (p === 0) return "0%";
	if (p < 0.1) return "<0.1%";
	return (p < 10 ? one : whole).format(p) + "%";
}

export function ago(thenMs: number, nowMs: number): string {
	const s = Math.max(0, Math.round((nowMs - thenMs) / 1000));
	if (s < 60) return s + "s ago";
	if (s < 3600) return Math.round(s / 60) + "m ago";
	if (s < 86400) return Math.round(s / 3600) + "h ago";
	return Math.round(s / 86400) + "d ago";
}

export function clock(tMs: number): string {
	return new Date(tMs).toLocaleTimeString("en-GB");
}

export function span(seconds: number): string {
	if (seconds < 60) return seconds + " s";
	if (seconds < 3600) return seconds / 60 + " min";
	return seconds / 3600 + " h";
}
