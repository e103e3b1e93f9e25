import { describe, expect, it, vi } from "vitest";
import { site } from "../../test/support/stores.ts";

describe("A flash of a session that the handler has ended", () => {
  it.each([
    [true, ["SOJOURN_LOST_FLASH"]],
    [false, []],
  ])("is reported with diagnostics %o, by revokeAll, and shown after signOut()", async (diagnostics, codes) => {
    const warned = vi.spyOn(process, "emitWarning").mockImplementation(() => {});
    const shop = site({ diagnostics });
    const browser = shop.browser();
    await browser.visit((session) => session.signIn("ada"));
    warned.mockClear();
    await browser.visit(async (session) => {
      await shop.sessions.revokeAll("ada");
      session.flash("info", "Signed out everywhere.");
    });
    const given = warned.mock.calls.map((call) => (call[1] as unknown as { code: string }).code);
    warned.mockRestore();
    expect(given).toEqual(codes);
    await browser.visit((session) => session.signIn("ada"));
    await browser.visit(async (session) => {
      await shop.sessions.revokeAll("ada");
      session.signOut();
      session.flash("info", "Signed out everywhere.");
    });
    expect((await browser.begin()).session.takeFlashes()).toHaveLength(1);
  });
});
