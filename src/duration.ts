/** A length of time: a number of seconds, or a number with its unit, such as `"30m"`, `"12h"` or `"7d"`. */
export type Duration = number | `${number}${"ms" | "s" | "m" | "h" | "d"}`;

const UNIT_MS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** The milliseconds of a duration; `option` names it in the error. */
export function milliseconds(duration: Duration, option: string): number {
  let ms = Number.NaN;
  if (typeof duration === "number") ms = duration * 1000;
  else {
    const parts = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(duration);
    if (parts) ms = Number(parts[1]) * UNIT_MS[parts[2] as keyof typeof UNIT_MS];
  }
  const whole = Math.round(ms);
  if (!(whole > 0 && Number.isFinite(whole))) {
    throw new TypeError(
      `${option}: ${String(duration)} is not a duration; give seconds (1800) or a number with its unit ("30m", "12h", "7d")`,
    );
  }
  return whole;
}
