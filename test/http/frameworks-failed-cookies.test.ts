import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { serve, unhandled, ways } from "../support/http/servers.ts";

// Frameworks write errors to the console. These tests do not check that.
beforeEach(() => void vi.spyOn(console, "error").mockReturnValue());
afterEach(() => {
  vi.restoreAllMocks();
  if (unhandled.length > 0) throw new AggregateError(unhandled, "nobody took these errors");
});

const failures = [
  ["its last changes can't be stored", "/rotate-and-save?gate=a"],
  ["a second save() of its handler fails", "/rotate-and-save?gate=a&again"],
] as const;

describe.each(ways)("sojourn for $name, where a handler has saved a new token", (way) => {
  for (const [how, path] of failures) {
    it(`sends the token with a 503 if ${how}`, async () => {
      const { signedIn, stage, faults } = await serve(way);
      const client = await signedIn();
      const asked = client.get(path);
      await stage.gate("a").reached;
      faults.update = "error";
      stage.gate("a").open();
      expect(await asked).toMatchObject({ status: 503, setCookies: [expect.stringMatching(/^session=/)] });
      faults.update = "ok";
      expect(await client.get("/")).toMatchObject({ body: "signed in as ada" });
    });

    it(`sends no token with a 503 if ${how} and the session has ended meanwhile`, async () => {
      const { signedIn, stage, faults, sessions } = await serve(way);
      const client = await signedIn();
      const asked = client.get(path);
      await stage.gate("a").reached;
      await sessions.revokeAll("ada");
      faults.update = "error";
      stage.gate("a").open();
      expect(await asked).toMatchObject({ status: 503, complete: true, setCookies: [] });
    });
  }
});
