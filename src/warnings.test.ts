import { expect, it, onTestFinished, vi } from "vitest";
import { warnOnce } from "./warnings.ts";

it("warns once for each key, a thousand times at most, and of one kind whatever another has said", () => {
  const emitted = vi.spyOn(process, "emitWarning").mockImplementation(() => {});
  onTestFinished(() => emitted.mockRestore());
  for (let route = 0; route < 1100; route += 1) for (const _ of [1, 2]) warnOnce("ONE", `GET /${route}`, "one");
  expect(emitted).toHaveBeenCalledTimes(1000);
  warnOnce("OTHER", "GET /", "other");
  expect(emitted).toHaveBeenLastCalledWith("other", { type: "SojournWarning", code: "OTHER" });
});
