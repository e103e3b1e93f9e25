import { describe, expect, it } from "vitest";
import { engines } from "../histories/engines.ts";
import { runHistory } from "../histories/run.ts";

/** Enough for some faults of each kind: `npm run histories -- --minutes 5` goes on from there. */
const SECONDS = 5;

describe.each(engines)("three processes that are killed, over $name that fails as well", (engine) => {
  it.skipIf(!engine.isHere)("keep every promise in the history of their clients", async () => {
    const { breaches, errors, history } = await runHistory(engine, { seconds: SECONDS });
    expect(breaches).toEqual([]);
    expect(errors).toEqual([]);
    expect(history.filter(({ kind, outcome }) => kind === "add" && outcome === "ok")).not.toEqual([]);
  });
});
