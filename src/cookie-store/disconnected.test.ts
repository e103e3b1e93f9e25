import { EventEmitter } from "node:events";
import { expect, it } from "vitest";
import { begin, Browser, KEYS } from "../../test/support/stores.ts";
import { claimResponse } from "../adapters/adapter.ts";
import { createSessions } from "../sessions.ts";
import { memoryStore } from "../stores/memory.ts";
import { cookieStore } from "./store.ts";

it.each([
  ["is dropped, and told as that, where the cookie alone is the session", false, "dropped", "ada"],
  ["ends the session where revocations know of it", true, "signedOut", undefined],
] as const)("A sign-out whose client has gone %s", async (_, isKnown, event, userId) => {
  const store = cookieStore(isKnown ? { revocations: memoryStore() } : {});
  const sessions = createSessions({ secretKey: KEYS[0], store });
  const browser = new Browser(sessions);
  await browser.visit((session) => session.signIn("ada"));
  const events: string[] = [];
  for (const name of ["dropped", "signedOut"] as const) sessions.on(name, () => events.push(name));

  const request = new Request("https://shop.example/", { headers: { cookie: browser.cookie } });
  const session = begin(sessions, request);
  const response = Object.assign(new EventEmitter(), { destroyed: false, headersSent: false, writableEnded: false });
  claimResponse(session, response);
  await session.load();
  session.signOut();
  response.destroyed = true;
  response.emit("close");

  await expect.poll(() => events).toContain(event);
  // The handler responds all the same.
  await sessions.commit(session, new Response());
  expect(events).toEqual([event]);
  expect(await browser.userId()).toBe(userId);
});
