import { beforeEach, describe, expect, it, vi } from "vitest";
import { KEYS } from "../../test/support/stores.ts";
import type { SessionsOptions } from "../options.ts";
import { createSessions } from "../sessions.ts";
import { memoryStore } from "../stores/memory.ts";

describe("One request that two createSessions serve", () => {
  const warned = vi.spyOn(process, "emitWarning").mockImplementation(() => {});
  beforeEach(() => warned.mockClear());

  const withCookie = (cookie: SessionsOptions["cookie"], others: Partial<SessionsOptions> = {}) =>
    createSessions({ secretKey: KEYS[0], store: memoryStore(), cookie: { ...cookie }, diagnostics: true, ...others });
  const request = () => new Request("https://shop.example/");

  async function serve(...all: ReturnType<typeof withCookie>[]) {
    const shared = request();
    for (const sessions of all) await sessions.open(shared);
  }

  it("with one cookie is warned of once: the response would have both", async () => {
    const [one, other] = [withCookie({ name: "shared" }), withCookie({ name: "shared" })];
    await serve(one, other);
    await serve(other, one);
    expect(warned.mock.calls).toEqual([
      [
        expect.stringContaining("Two createSessions with the cookie shared"),
        { type: "SojournWarning", code: "SOJOURN_SHARED_COOKIE" },
      ],
    ]);
  });

  it("with different names or paths, in other requests, or in production is not", async () => {
    const one = withCookie({ name: "apart" });
    await serve(one, one, withCookie({ name: "apart-2" }), withCookie({ name: "apart", path: "/admin" }));
    await one.open(request());
    await withCookie({ name: "apart" }).open(request());
    const quiet = { diagnostics: false };
    await serve(withCookie({ name: "apart" }, quiet), withCookie({ name: "apart" }, quiet));
    expect(warned).not.toHaveBeenCalled();
  });
});
