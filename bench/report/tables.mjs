// Tables of Markdown, and how figures are written in them.
export function table(head, rows) {
  const lines = [head, head.map((_, index) => (index === 0 ? "---" : "--:")), ...rows];
  return lines.map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

export const NONE = "–";

/** Two significant digits where there are few, and no more than the measurement is worth. */
export function figure(value) {
  if (value === undefined || value === null || Number.isNaN(value)) return NONE;
  const size = Math.abs(value);
  if (size >= 1000) return Math.round(value).toLocaleString("en");
  return size >= 20 ? value.toFixed(0) : size >= 1 ? value.toFixed(1) : value.toFixed(2);
}

/** The median and the quartiles. */
export function spread(cell) {
  if (!cell) return NONE;
  const [low, high] = cell.quartiles;
  return `${figure(cell.median)} <sub>${figure(low)}–${figure(high)}</sub>`;
}

/** Below this, a difference from the bare application is noise, and a ratio of it too. */
const NOISE_US = 1;

/** What a library adds to the bare application. */
const cost = ({ median }) => (median < NOISE_US ? `under ${NOISE_US}` : figure(median));

/** A ratio, and what was compared. */
export const costs = (own, other) => `${ratio(own, other)} <sub>${cost(own)} / ${cost(other)}</sub>`;

/** How many times as much `own` costs as `other`. */
export function ratio(own, other) {
  if (!own || !other || own.median < NOISE_US || other.median < NOISE_US) return NONE;
  return (own.median / other.median).toFixed(2);
}

/** One result's machine, so that a reader knows what its figures are worth. */
export function conditions({ machine, date }) {
  if (!machine) return `Measured on ${date}.`;
  const { others, rounds, contaminated } = machine;
  if (others === null) return `Measured on ${date}; the CPU of other processes could not be watched.`;
  const verdict =
    contaminated === 0
      ? `none of ${rounds} rounds was contaminated`
      : `**${contaminated} of ${rounds} rounds were contaminated**`;
  return `Measured on ${date}. Other processes used ${others.toFixed(2)} cores on average; ${verdict}.`;
}
