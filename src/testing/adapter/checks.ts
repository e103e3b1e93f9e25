import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import type { Answer } from "./client.ts";

/** What a response says to caches: nothing, that it depends on the cookie, that it is a user's, or that nobody may store it. */
export type Caching = "nothing" | "vary" | "private" | "no-store";

/** Checks a response: its status and its body, what it says to caches, and the number of the session's cookies. */
export function expectAnswer(
  answer: Answer,
  wanted: { status?: number; body?: string; caching?: Caching; cookies?: number; vary?: string },
  rule: string,
): void {
  const { status = 200, body, caching, cookies = 0, vary } = wanted;
  assert.equal(answer.status, status, `${rule}: its status is another`);
  assert.ok(answer.isComplete, `${rule}: the response was cut off`);
  if (body !== undefined) assert.equal(answer.body, body, `${rule}: its body is another`);
  assert.equal(answer.cookies.length, cookies, `${rule}: it must set ${cookies} cookies of the session`);
  if (caching !== undefined) expectCaching(answer, caching, rule, vary);
}

/** Checks the headers for caches. @param vary - the header of the request that the response depends on. */
export function expectCaching({ headers }: Answer, caching: Caching, rule: string, vary = "Cookie"): void {
  const names = (headers.vary ?? "").toLowerCase().split(/\s*,\s*/);
  const found = names.filter((name) => name === vary.toLowerCase()).length;
  assert.equal(found > 0, caching !== "nothing", `${rule}: Vary must ${found > 0 ? "not " : ""}name ${vary}`);
  assert.ok(found < 2, `${rule}: Vary names ${vary} twice`);
  const wanted = caching === "private" || caching === "no-store" ? caching : undefined;
  assert.equal(headers["cache-control"], wanted, `${rule}: Cache-Control is another`);
}

/** Waits as long as an event may take on a busy machine. If it never comes, the assertion that follows fails. */
export async function eventually(isThere: () => boolean | Promise<boolean>): Promise<boolean> {
  for (let tries = 0; tries < 500; tries += 1) {
    if (await isThere()) return true;
    await delay(10);
  }
  return false;
}
