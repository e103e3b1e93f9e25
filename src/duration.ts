/**
 * A length of time: a number with its unit, such as `"30m"`, `"12h"` or `"7d"`. The units are `ms`, `s`, `m` (minutes), `h`
 * and `d`. A number without a unit is a `TypeError`, because libraries differ on what it counts.
 */
export type Duration = `${number}${"ms" | "s" | "m" | "h" | "d"}`;

/** The last moment that a Date can hold, in epoch milliseconds. */
export const MAX_TIME = 8.64e15;

const UNIT_MS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/**
 * The milliseconds of a duration.
 *
 * @param option - names it in the error.
 * @throws TypeError for anything else. A bare number is refused, because libraries differ on its unit.
 */
export function milliseconds(duration: Duration, option: string): number {
  const parts = typeof duration === "string" ? /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(duration) : null;
  const ms = parts ? Math.round(Number(parts[1]) * UNIT_MS[parts[2] as keyof typeof UNIT_MS]) : 0;
  if (ms > 0 && Number.isFinite(ms)) return ms;
  throw new TypeError(`${option}: ${describe(duration)}`);
}

function describe(given: unknown): string {
  if (typeof given === "number" && given > 0) {
    return `${given} has no unit; write "${given}s" for seconds (${spoken(given * 1000)}), or "${given}ms" for milliseconds (${spoken(given)})`;
  }
  return `${String(given)} is not a duration; write a number with its unit, such as "30m", "12h" or "7d"`;
}

/** For a person: `20.8 days` */
function spoken(ms: number): string {
  const units = [
    ["days", UNIT_MS.d],
    ["hours", UNIT_MS.h],
    ["minutes", UNIT_MS.m],
    ["seconds", UNIT_MS.s],
  ] as const;
  const [unit, size] = units.find(([, least]) => ms >= least) ?? ["milliseconds", 1];
  const count = Number((ms / size).toFixed(1));
  return `${count} ${count === 1 ? unit.slice(0, -1) : unit}`;
}
