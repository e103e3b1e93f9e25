import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { serve, ways } from "../support/http/servers.ts";

// The client was told of these changes by the error's response: nothing is said of them later.

const warned = vi.spyOn(process, "emitWarning").mockImplementation(() => {});
beforeEach(() => {
  vi.spyOn(console, "error").mockReturnValue();
  // The search for late changes waits by this alone.
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
});
afterEach(() => {
  vi.useRealTimers();
  warned.mockClear();
});

describe.each(ways)("sojourn for $name, long after a response that could not be stored", (way) => {
  const kinds = [
    ["update", "/two-cookies"],
    ["update", "/login?username=ada"],
    ["delete", "/logout"],
  ] as const;
  const cases = kinds.flatMap(([operation, path]) => [
    { operation, path, fault: "error" as const },
    { operation, path, fault: "error-after" as const },
  ]);

  it.each(cases)("reports no late change ($path, $operation: $fault)", async ({ operation, path, fault }) => {
    const scene = await serve(way);
    const client = await scene.signedIn();
    scene.faults[operation] = fault;
    expect((await client.get(path)).status).toBe(503);
    scene.faults[operation] = "ok";
    await vi.advanceTimersByTimeAsync(5000);
    expect(scene.dropped).toEqual([]);
    expect(warned).not.toHaveBeenCalled();
  });
});
