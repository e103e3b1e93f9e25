import assert from "node:assert/strict";
import * as fc from "fast-check";

/** Which inputs a run takes; the same seed gives the same ones. */
interface Run {
  readonly seed: number;
  readonly numRuns: number;
  /** Of an input that has failed, among those of the seed. */
  readonly path?: string;
}

interface Outcome {
  readonly numRuns: number;
  readonly failure?: { readonly report: string; readonly seed: number; readonly path: string; readonly input: unknown };
}

/** One function under hostile input: where inputs come from, and what must hold of each. */
export interface Target {
  readonly name: string;
  /** How many inputs `npm test` takes. */
  readonly runs: number;
  /** Checks random inputs. */
  random(run: Run): Promise<Outcome>;
  /** Checks one input, of the corpus for instance. */
  one(input: unknown): Promise<void>;
}

interface Definition<Input> {
  readonly name: string;
  readonly runs?: number;
  /** Values that JSON can say, so that the corpus can keep them. */
  readonly inputs: fc.Arbitrary<Input>;
  check(input: Input): void | Promise<void>;
}

const RUNS = 500;

/** A target whose check is done when it returns. */
export function target<Input>({ name, runs = RUNS, inputs, check }: Definition<Input>): Target {
  const checked = (input: Input) => {
    void check(input);
    checkPrototypes();
  };
  return {
    name,
    runs,
    random: async (run) => outcome(fc.check(fc.property(inputs, checked), run)),
    one: async (input) => checked(input as Input),
  };
}

/** A target whose check waits. */
export function asyncTarget<Input>({ name, runs = RUNS, inputs, check }: Definition<Input>): Target {
  const checked = async (input: Input) => {
    await check(input);
    checkPrototypes();
  };
  return {
    name,
    runs,
    random: async (run) => outcome(await fc.check(fc.asyncProperty(inputs, checked), run)),
    one: (input) => checked(input as Input),
  };
}

function outcome<Input>(details: fc.RunDetails<[Input]>): Outcome {
  const { numRuns, seed } = details;
  if (!details.failed) return { numRuns };
  const why = details.errorInstance instanceof Error ? details.errorInstance.message : String(details.errorInstance);
  const report = `${fc.defaultReportMessage(details)}\n${why}`;
  return {
    numRuns,
    failure: { report, seed, path: details.counterexamplePath ?? "", input: details.counterexample?.[0] },
  };
}

const PROTOTYPES: readonly object[] = [Object, Array, Map, Set, Date, Uint8Array, Buffer, URL, String, Number].flatMap(
  (made) => [made.prototype, made],
);
const namesOf = (prototype: object) => Reflect.ownKeys(prototype).length;
const BEFORE = PROTOTYPES.map(namesOf);

function checkPrototypes(): void {
  PROTOTYPES.forEach((prototype, index) =>
    assert.equal(namesOf(prototype), BEFORE[index], "a prototype was written to"),
  );
}

/** The error that a call throws; `undefined` where it throws nothing. */
export function thrownBy(call: () => unknown): unknown {
  try {
    call();
    return undefined;
  } catch (error) {
    assert.ok(error !== undefined);
    return error;
  }
}
