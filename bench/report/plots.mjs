// The plots of docs/pictures, drawn by Vega-Lite from the results.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as vega from "vega";
import * as vegaLite from "vega-lite";
import { altOf, resultOf, who } from "./alt-texts.mjs";

/** The colours of light pages, and those that take their place on dark ones. No other colour may be used in a plot. */
const COLOURS = {
  text: { light: "#24292f", dark: "#e6edf3" },
  grid: { light: "#d8dee4", dark: "#30363d" },
  own: { light: "#0b6bcb", dark: "#58a6ff" },
  peer: { light: "#a45a2a", dark: "#e3a06b" },
  floor: { light: "#6e7781", dark: "#8b949e" },
};
const light = (name) => COLOURS[name].light;

const FONT = "system-ui, sans-serif";
const CONFIG = {
  background: null,
  font: FONT,
  view: { stroke: null },
  title: { color: light("text"), anchor: "start", fontSize: 14 },
  axis: {
    labelColor: light("text"),
    titleColor: light("text"),
    gridColor: light("grid"),
    domainColor: light("grid"),
    tickColor: light("grid"),
    labelFontSize: 12,
    titleFontSize: 12,
    labelLimit: 700,
  },
  legend: { labelColor: light("text"), titleColor: light("text"), labelFontSize: 12, orient: "top", title: null },
  header: { labelColor: light("text"), titleColor: light("text"), labelFontSize: 12 },
};
const WHO = { domain: ["sojourn", "peer", "floor"], range: [light("own"), light("peer"), light("floor")] };
const ROW_HEIGHT = 20;

export async function drawPlots(results, folder) {
  mkdirSync(folder, { recursive: true });
  for (const [name, plot] of Object.entries(PLOTS)) {
    const spec = plot(results);
    if (spec) writeFileSync(join(folder, `${name}.svg`), await draw(spec));
  }
}

async function draw(spec) {
  const { spec: compiled } = vegaLite.compile({ ...spec, config: CONFIG, padding: 8 });
  const view = new vega.View(vega.parse(compiled), { renderer: "none" });
  const svg = await view.toSVG();
  const style = `<style>@media (prefers-color-scheme: dark){${Object.values(COLOURS).map(darken).join("")}}</style>`;
  const title = `<title>${escape(spec.description)}</title>`;
  return `${svg.replace(/^(<svg[^>]*>)/, `$1${title}${style}`)}\n`;
}

/** A style of the picture itself: it holds wherever the picture is shown, and wins against an attribute. */
const darken = ({ light: from, dark: to }) => `[fill="${from}"]{fill:${to}}[stroke="${from}"]{stroke:${to}}`;

const escape = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");

const labelOf = ({ framework, library, store }) =>
  `${framework}: ${library === "sojourn" ? `sojourn, ${store}` : library}`;

const PLOTS = {
  "lost-updates"(results) {
    const result = resultOf(results, "correctness");
    if (!result) return undefined;
    const values = result.outcomes
      .filter(({ framework }) => framework !== "node:http" && framework !== "fetch")
      .map((row) => ({ label: labelOf(row), kept: row.keys.kept, who: who(row) }));
    return {
      description: altOf("lost-updates", results),
      title: `Changes that are kept of ${result.requests} parallel ones`,
      data: { values },
      width: 420,
      height: { step: ROW_HEIGHT },
      encoding: {
        y: { field: "label", type: "nominal", sort: null, axis: { title: null } },
        x: { field: "kept", type: "quantitative", axis: { title: "changes kept" } },
        color: { field: "who", type: "nominal", scale: WHO },
      },
      layer: [
        { mark: { type: "bar", height: 12 } },
        {
          mark: { type: "text", align: "left", dx: 4, color: light("text") },
          encoding: { text: { field: "kept", type: "quantitative" }, color: { value: light("text") } },
        },
      ],
    };
  },

  cost: (results) => costPlot(results, "cost", "layer", ["read", "write"], "Cost of a session over the bare framework"),
  redis: (results) => costPlot(results, "redis", "redis", ["read", "write"], "The same with sessions in Redis"),

  size(results) {
    const result = resultOf(results, "growth");
    if (!result) return undefined;
    const values = result.sizes.flatMap(({ name, steps }) =>
      steps.map(({ bytes, write }) => ({ name, bytes, us: Math.max(1, write.median) })),
    );
    return {
      description: altOf("size", results),
      title: "Cost of a write, by size of the session",
      data: { values },
      width: 420,
      height: 240,
      mark: { type: "line", point: true },
      encoding: {
        x: { field: "bytes", type: "quantitative", scale: { type: "log", base: 2 }, axis: { title: "bytes of JSON" } },
        y: { field: "us", type: "quantitative", scale: { type: "log" }, axis: { title: "µs of CPU" } },
        color: {
          field: "name",
          type: "nominal",
          scale: { range: [light("own"), light("peer"), light("own"), light("peer")] },
          legend: { columns: 1, labelLimit: 500 },
        },
        strokeDash: {
          field: "name",
          type: "nominal",
          scale: {
            range: [
              [1, 0],
              [1, 0],
              [5, 4],
              [5, 4],
            ],
          },
        },
      },
    };
  },
};

/** A mark for each median, with a line from quartile to quartile, on a logarithmic scale. */
function costPlot(results, name, part, paths, title) {
  const result = resultOf(results, part);
  if (!result) return undefined;
  const atLeast = (us) => Math.max(1, us);
  const values = result.contenders
    .filter(({ cells }) => cells.read?.layer)
    .flatMap((row) =>
      paths.map((path) => {
        const { median, quartiles } = row.cells[path].layer;
        const [low, high] = quartiles.map(atLeast);
        return { label: labelOf(row), path, us: atLeast(median), low, high, who: who(row) };
      }),
    );
  return {
    description: altOf(name, results),
    title: `${title}, Node ${result.node}`,
    data: { values },
    facet: { column: { field: "path", type: "nominal", title: null } },
    spec: {
      width: 260,
      height: { step: ROW_HEIGHT },
      encoding: {
        y: { field: "label", type: "nominal", sort: null, axis: { title: null, grid: true } },
        color: { field: "who", type: "nominal", scale: WHO },
      },
      layer: [
        {
          mark: { type: "rule", strokeWidth: 2 },
          encoding: {
            x: { field: "low", type: "quantitative", scale: { type: "log" }, axis: { title: "µs of CPU a request" } },
            x2: { field: "high" },
          },
        },
        {
          mark: { type: "point", filled: true, size: 70, opacity: 1 },
          encoding: { x: { field: "us", type: "quantitative", scale: { type: "log" } } },
        },
      ],
    },
  };
}
