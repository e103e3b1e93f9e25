import { adapterContract } from "sojourn/testing";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { adapters } from "../support/http/adapters.ts";

// Adapters and frameworks write the failures of some cases to the console, and warn of late changes.
beforeEach(() => {
  vi.spyOn(console, "error").mockReturnValue();
  vi.spyOn(process, "emitWarning").mockReturnValue();
});
afterEach(() => void vi.restoreAllMocks());

describe.each(Object.entries(adapters))("the adapter for %s", (_name, { start, options }) => {
  it.each(adapterContract(start, options))("$name", async ({ run }) => {
    await expect(run()).resolves.toBeUndefined();
  });
});
