import { optionHint } from "./option-hints.ts";
import { printable } from "./printable.ts";

/**
 * The names of the options of a type. The compiler refuses a record that lacks one, and one that has a name too many: no
 * list is kept in step by hand.
 */
export type OptionNames<Options> = Readonly<Record<keyof Options, true>>;

/** Every member of a union of names. As with {@link OptionNames}, the compiler refuses one that is missing or too many. */
export function namesOf<Name extends string>(names: Readonly<Record<Name, true>>): readonly Name[] {
  return Object.keys(names) as Name[];
}

/**
 * Refuses an option that nobody reads, because it would silently do nothing.
 *
 * @param where - what takes the options, as it begins the error: `memoryStore`, `cookie`
 * @throws TypeError naming the option and those that exist.
 */
export function checkOptions<Options extends object>(
  where: string,
  options: Options,
  names: OptionNames<NoInfer<Options>>,
): void {
  if (typeof options !== "object" || options === null) {
    throw new TypeError(
      `${where} takes an object with any of ${Object.keys(names).join(", ")}, not ${printable(options)}`,
    );
  }
  for (const name of Object.keys(options)) {
    if (!Object.hasOwn(names, name)) throw unknownOption(where, name, Object.keys(names));
  }
}

/** The error for an option that does not exist. */
export function unknownOption(where: string, name: string, known: readonly string[]): TypeError {
  const remedy = known.length > 0 ? `use any of ${known.join(", ")}, or remove it` : "remove it";
  const hint = optionHint(where, name, known);
  return new TypeError(`${where} has no option "${printable(name)}": ${hint ? `${hint} Otherwise ${remedy}` : remedy}`);
}

/**
 * A whole number from 1 to `max`.
 *
 * @param option - its name, as it begins the error: `memoryStore: maxSessions`
 */
export function checkPositiveInteger(option: string, value: unknown, max = Number.MAX_SAFE_INTEGER): void {
  if (Number.isInteger(value) && (value as number) >= 1 && (value as number) <= max) return;
  const range = max === Number.MAX_SAFE_INTEGER ? "a positive whole number" : `a whole number from 1 to ${max}`;
  throw new TypeError(`${option} must be ${range}, not ${printable(value)}`);
}

/** A clock that can be called; none where the option is left out. */
export function checkClock(option: string, clock: unknown, like: "Date.now" | "performance.now" = "Date.now"): void {
  if (clock === undefined || typeof clock === "function") return;
  const time = like === "Date.now" ? "epoch milliseconds" : "milliseconds that only grow";
  throw new TypeError(`${option} must be a function that returns ${time}, such as ${like}`);
}

/** @param what - what the text is, as the error names it: `the id of a user` */
export function checkString(call: string, what: string, value: unknown): asserts value is string {
  if (typeof value === "string" && value !== "") return;
  throw new TypeError(`${call} takes ${what}, a string that is not empty, not ${printable(value)}`);
}
