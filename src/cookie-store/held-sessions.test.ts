import { describe, expect, it } from "vitest";
import { OPERATIONS, syncOf } from "../capabilities.ts";
import { HeldStore, type HeldSessions } from "./held-sessions.ts";

describe("The sessions of one request as a store", () => {
  it.each(OPERATIONS)("answer %s() at once, so that nothing is waited for and no timer is set", (name) => {
    expect(syncOf(new HeldStore({} as HeldSessions), name)).toBeTypeOf("function");
  });
});
