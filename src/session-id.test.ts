import { describe, expect, it, onTestFinished, vi } from "vitest";
import { site } from "../test/support/stores.ts";

describe("sessions", () => {
  it("warn once in development of a text that no session has as its id, and never repeat it", async () => {
    const warned = vi.spyOn(process, "emitWarning").mockImplementation(() => {});
    onTestFinished(() => warned.mockRestore());
    const { sessions, browser, backend } = site({ diagnostics: true });
    const { session, end } = await browser().begin();
    session.signIn("alice");
    await end();
    const quiet = site({ store: backend, diagnostics: false });
    expect(await quiet.sessions.revoke("alice")).toBe(false);
    expect(await sessions.revoke("A".repeat(22))).toBe(false);
    expect(await sessions.list("alice", { current: session.id })).toMatchObject([{ isCurrent: true }]);
    expect(warned).not.toHaveBeenCalled();
    for (const text of ["alice", `session=1${"B".repeat(80)}`]) {
      expect(await sessions.revoke(text)).toBe(false);
      expect(await sessions.revoke(text, { userId: "alice" })).toBe(false);
      expect(await sessions.revokeAll("bob", { except: text })).toBe(0);
    }
    const messages = warned.mock.calls.map(([message]) => String(message));
    expect(messages).toEqual([
      expect.stringMatching(/^sessions\.revoke\(id\) was given a text that no session has as its id: give session\.id/),
      expect.stringMatching(/^sessions\.revokeAll\(userId, \{ except \}\) was given a text/),
    ]);
    expect(messages.join("")).not.toContain("BBB");
    expect(await sessions.revoke(session.id)).toBe(true);
  });
});
