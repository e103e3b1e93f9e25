import { openStore } from "sojourn/open";
import { describe, expect, it } from "vitest";
import { moveUnderLoad } from "../support/moving-load.ts";
import { engines } from "../support/engines.ts";

const ROUTES = [
  ["files", "Redis"],
  ["Redis", "PostgreSQL"],
] as const;

const engine = (name: string) => engines.find((one) => one.name === name)!;

describe("copySessions between engines, while the application runs", () => {
  for (const [from, to] of ROUTES) {
    const isHere = engine(from).isHere && engine(to).isHere;
    it.skipIf(!isHere)(
      `moves sessions from ${from} to ${to} and loses nothing, although it is killed at any moment`,
      async () => {
        const [old, next] = [await engine(from).start(), await engine(to).start()];
        try {
          for (const { url } of [old, next]) await (await openStore(url, { migrate: true })).close();
          const { requests, kills, copied, ...broken } = await moveUnderLoad({ from: old.url, to: next.url });
          const none = { lostUpdates: 0, resurrected: 0, signedOut: 0, shortened: 0, wrongUser: 0, errors: [] };
          expect(broken).toEqual(none);
          expect(kills).toBe(4);
          expect(copied).toBeGreaterThan(20);
          expect(requests["count"]).toBeGreaterThan(20);
        } finally {
          await next.stop();
          await old.stop();
        }
      },
      180_000,
    );
  }
});
