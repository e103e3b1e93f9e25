import { openStore } from "sojourn/open";
import { describe, expect, it } from "vitest";
import { moveUnderLoad } from "../support/moving-load.ts";
import { engines } from "../support/engines.ts";

const ROUTES = [
  ["files", "Redis"],
  ["Redis", "PostgreSQL"],
] as const;

const engine = (name: string) => engines.find((one) => one.name === name)!;

describe("copySessions between engines, of an application that is serving", () => {
  for (const [from, to] of ROUTES) {
    const isHere = engine(from).isHere && engine(to).isHere;
    it.skipIf(!isHere)(
      `goes from ${from} to ${to}, killed at any moment, and loses nothing`,
      async () => {
        const [old, next] = [await engine(from).start(), await engine(to).start()];
        try {
          for (const { url } of [old, next]) await (await openStore(url, { migrate: true })).close();
          const { did, kills, copied, ...wrong } = await moveUnderLoad({ from: old.url, to: next.url });
          const nothing = { lostUpdates: 0, resurrected: 0, innocents: 0, shortened: 0, mistaken: 0, errors: [] };
          expect(wrong).toEqual(nothing);
          expect(kills).toBe(4);
          expect(copied).toBeGreaterThan(20);
          expect(did["count"]).toBeGreaterThan(20);
        } finally {
          await next.stop();
          await old.stop();
        }
      },
      180_000,
    );
  }
});
