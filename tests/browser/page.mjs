// page.mjs -- opens the page in Debian's Chromium, uses it as a person would, and prints what it saw as JSON:
// node page.mjs URL FOLDER_FOR_SCREENSHOTS
import { chromium } from "playwright-core";

const [, , url, folder] = process.argv;
const FLAGS = [
	"--no-sandbox",
	"--disable-gpu",
	"--disable-quic",
	"--no-first-run",
	"--disable-background-networking",
	"--disable-component-update",
	"--disable-sync",
];

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM || "/usr/bin/chromium", headless: true, args: FLAGS });
const seen = { errors: [], foreign: [], steps: {} };
const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, colorScheme: "dark" });
const page = await context.newPage();
page.on("console", (m) => ["error", "warning"].includes(m.type()) && seen.errors.push(`${m.type()}: ${m.text()}`));
page.on("pageerror", (e) => seen.errors.push(`exception: ${e.message}`));
page.on("request", (r) => !r.url().startsWith(url) && !r.url().startsWith("data:") && seen.foreign.push(r.url()));

// What the page's model holds (window.ambit is there for tests and for the console of whoever is curious).
const picture = () =>
	page.evaluate(() => {
		const cy = window.ambit.topology.cy;
		return {
			nodes: cy.nodes("[!box]").map((n) => n.data("node").id),
			boxes: cy.nodes("[box]").map((n) => n.id()),
			edges: cy.edges().map((e) => ({ ...e.data("edge"), health: e.data("health") })),
			places: Object.fromEntries(cy.nodes("[!box]").map((n) => [n.id(), n.position()])),
		};
	});
// Asked from here again and again: waiting inside the page would need eval, which its content security policy refuses.
const until = async (what, condition) => {
	for (const end = Date.now() + 20000; Date.now() < end; await page.waitForTimeout(100)) {
		if (await page.evaluate(condition)) return;
	}
	seen.errors.push(`not within 20 s: ${what}`);
};
const shot = (name) => page.screenshot({ path: `${folder}/${name}.png` });
const text = (selector) => page.locator(selector).first().innerText();

await page.goto(url);
await until("edges with requests", () => (window.ambit?.facts.graph?.edges ?? []).reduce((n, e) => n + e.traffic.requests, 0) > 15);
await page.waitForTimeout(1500);
seen.steps.folded = await picture();
seen.steps.status = await text(".status");
seen.steps.tiles = await text(".tiles");
await shot("mesh-dark");

// Nothing moves between two answers.
await page.waitForTimeout(5500);
seen.steps.later = await picture();

// Waypoints as nodes, by key.
await page.keyboard.press("w");
await until("the waypoint's node", () => window.ambit.topology.cy.nodes("[kind = 'waypoint']").nonempty());
await page.waitForTimeout(900);
seen.steps.shown = await picture();
await shot("waypoints-shown");
await page.keyboard.press("w");
await until("folded again", () => window.ambit.topology.cy.nodes("[kind = 'waypoint']").empty());
await page.waitForTimeout(900);

// An edge by a click on it, where its figures stand.
const spot = await page.evaluate(() => {
	const t = window.ambit.topology;
	const e = t.cy.edges().filter((x) => x.data("edge").via.length > 0).max((x) => x.data("edge").traffic.requests).ele;
	const w = t.way(e);
	const m = w.samples[Math.floor(w.samples.length / 2)];
	const box = t.container.getBoundingClientRect();
	return { x: box.x + m.x * t.cy.zoom() + t.cy.pan().x, y: box.y + m.y * t.cy.zoom() + t.cy.pan().y };
});
await page.mouse.click(spot.x, spot.y);
await until("the edge's charts", () => document.querySelectorAll(".chart canvas").length === 4);
await until("the hops", () => document.querySelectorAll(".hops li").length === 3);
seen.steps.edgeTitle = await text(".panel-head");
seen.steps.edgePanel = await text(".panel-body");
await shot("edge");
await page.keyboard.press("Escape");

// A node by the keyboard alone, then the light theme.
await page.keyboard.press("ArrowRight");
await page.keyboard.press("ArrowDown");
await until("a selected node", () => location.hash.includes("selected=node"));
seen.steps.nodeTitle = await text(".panel-head h2");
await page.keyboard.press("t");
await page.waitForTimeout(1200);
await shot("node-light");
await page.keyboard.press("Escape");
await page.keyboard.press("t");

// Find, window, pause.
await page.keyboard.press("/");
await page.keyboard.type("ratings");
await page.waitForTimeout(200);
seen.steps.found = await page.evaluate(() => window.ambit.topology.cy.nodes("[!box]").filter((n) => !n.data("dim")).map((n) => n.id()));
await page.keyboard.press("Escape");
await page.keyboard.press("1");
await page.waitForTimeout(600);
seen.steps.hash = await page.evaluate(() => location.hash);
await page.keyboard.press("p");
seen.steps.paused = await text(".status");
await page.keyboard.press("p");

// A small screen.
await page.setViewportSize({ width: 420, height: 860 });
await page.waitForTimeout(900);
seen.steps.narrow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
await shot("small");

console.log(JSON.stringify(seen));
await browser.close();
