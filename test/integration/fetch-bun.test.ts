import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { beforeAll, describe, expect, it } from "vitest";
import { HUNG_MS } from "../support/throwaway.ts";

const run = promisify(execFile);
const BUN = process.env["BUN_PATH"];
const PROGRAM = join(import.meta.dirname, "../fixtures/fetch-runtime.mjs");

interface Results {
  readonly sent: Record<string, [status: number, body: string, length: string | null, cookies: number]>;
  readonly kept: Record<string, number>;
  readonly whileStreaming: [first: string, watching: number];
  readonly afterStream: number;
  readonly afterLeaving: number;
  readonly afterText: number;
}

describe.skipIf(BUN === undefined)("sojourn for fetch on Bun's own server", () => {
  let results: Results;
  beforeAll(async () => {
    results = JSON.parse((await run(BUN!, [PROGRAM], { timeout: HUNG_MS })).stdout) as Results;
  });

  it("sends a response that the application keeps whole and with a cookie, and leaves it as it is", () => {
    expect(results.sent).toEqual({
      text: [200, "kept", "4", 1],
      json: [200, '{"kept":true}', "13", 1],
      bytes: [200, "k", "1", 1],
      empty: [204, "", null, 1],
      redirect: [303, "", "0", 1],
    });
    expect(new Set(Object.values(results.kept))).toEqual(new Set([0]));
  });

  it("watches a session while a body streams, and lets go when it ends or the client leaves", () => {
    expect(results.whileStreaming).toEqual(["1\n", 1]);
    expect(results).toMatchObject({ afterStream: 0, afterLeaving: 0, afterText: 0 });
  });
});
