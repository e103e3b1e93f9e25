// Known failures of other libraries, and all that only TanStack Start has: server functions, pages, its helpers for headers.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { toJSONAsync } from "seroval";
import { casesWith, gate } from "./own-cases.mjs";
import { start } from "./server.mjs";

/** Calls the server function as Start's client does. */
async function callAct(app, wish, ask = app.ask) {
  const path = await (await app.visit("/own/acting")).text();
  return ask(path, {
    method: "POST",
    headers: { "content-type": "application/json", "x-tsr-serverFn": "true", accept: "application/json" },
    body: JSON.stringify(await toJSONAsync({ data: wish, context: {} })),
  });
}

const cases = {
  "keeps what parallel server functions of one page write, and stores it once": async (use) => {
    const app = await use({
      layout: async ({ data }) => void (data.layout = 1),
      page: async ({ data }) => void (data.page = 1),
    });
    const response = await app.ask("/own/page");
    assert.equal(response.status, 200);
    await response.text();
    assert.deepEqual(await app.dataOf(), { layout: 1, page: 1 });
    assert.equal(app.calls.update, 1);
  },

  "sets one cookie for a session that parallel server functions begin": async (use) => {
    const app = await use({ layout: ({ data }) => void (data.layout = 1), page: ({ data }) => void (data.page = 1) });
    const response = await app.visit("/own/page");
    assert.equal(response.headers.getSetCookie().length, 1);
    assert.equal(response.headers.get("cache-control"), "no-store");
  },

  "keeps what 200 parallel pages append": async (use) => {
    const app = await use({
      page: (session, request) => void (session.data.items ??= []).push(new URL(request.url).searchParams.get("n")),
    });
    await (await app.ask("/own/page?n=first")).text();
    const asked = Array.from({ length: 200 }, async (_, n) => {
      const response = await app.ask(`/own/page?n=${n}`);
      await response.text();
      return response.status;
    });
    assert.deepEqual(new Set(await Promise.all(asked)), new Set([200]));
    assert.equal(new Set((await app.dataOf()).items).size, 201);
  },

  "keeps what another tab writes while a server function works that redirects": async (use) => {
    const { open, arrived, pass } = gate();
    const app = await use({
      page: (session) => void (session.data.tab = 1),
      act: async (session) => {
        session.data.action = 1;
        await pass();
      },
    });
    const acting = callAct(app, "redirect");
    await arrived;
    await (await app.ask("/own/page")).text();
    open();
    const response = await acting;
    assert.equal(response.status, 200);
    assert.match(await response.text(), /isSerializedRedirect.*true/);
    assert.deepEqual(await app.dataOf(), { tab: 1, action: 1 });
  },

  "stores what a server function writes that throws a redirect, notFound() or an error, and sets its cookie": async (
    use,
  ) => {
    for (const [wish, status] of [
      ["redirect", 200],
      ["notFound", 200],
      ["throw", 200],
      ["return", 201],
    ]) {
      const app = await use({ act: (session) => session.signIn("bob") });
      const response = await callAct(app, wish, app.visit);
      assert.equal(response.status, status, wish);
      assert.equal(response.headers.getSetCookie().length, 1, wish);
      assert.equal(response.headers.get("cache-control"), "no-store", wish);
      assert.equal((await app.sessions.list("bob")).length, 1, wish);
      assert.notEqual(await response.text(), "");
    }
  },

  "redirects where a route of the server calls a server function that does": async (use) => {
    const app = await use({ act: (session) => session.signIn("bob") });
    const response = await app.visit("/own/acting", { method: "POST", body: "redirect" });
    assert.deepEqual([response.status, response.headers.get("location")], [307, "/own/page"]);
    assert.equal(response.headers.getSetCookie().length, 1);
  },

  "tells caches of the session and of its cookie, whatever setResponseHeader() has said": async (use) => {
    const app = await use({ act: (session) => void (session.userId ?? session.signIn("bob")) });
    const read = await callAct(app, "return");
    assert.deepEqual([read.headers.get("vary"), read.headers.getSetCookie().length], ["Accept, Cookie", 0]);
    assert.match(await read.text(), /done/);
    const signedIn = await callAct(app, "return", app.visit);
    assert.deepEqual(
      [signedIn.headers.get("vary"), signedIn.headers.get("cache-control")],
      ["Accept, Cookie", "no-store"],
    );
    assert.equal(signedIn.headers.getSetCookie().length, 1);
  },

  "answers 503 where a change can't be stored, whatever setResponseStatus() and setResponseHeader() have said": async (
    use,
  ) => {
    const app = await use({ act: (session) => void (session.data.changed = 1) });
    app.failing.add("update");
    const response = await callAct(app, "return");
    assert.equal(response.status, 503);
    assert.equal(response.headers.get("cache-control"), "no-store");
    assert.equal(response.headers.get("etag"), null);
    assert.match(response.headers.get("content-type"), /^text\/plain/);
    assert.equal(await response.text(), "Service Unavailable: please try again in a moment\n");
  },

  "stores what a streamed promise writes, before the last byte": async (use) => {
    const { open, pass } = gate();
    const app = await use({
      later: async (session) => {
        assert.equal(session.userId, "ada");
        await pass();
        session.data.later = 1;
        return "done";
      },
    });
    const response = await app.ask("/own/page");
    open();
    assert.match(await response.text(), /done/);
    assert.deepEqual(await app.dataOf(), { later: 1 });
  },

  "ends a session that signs out in one tab while another streams": async (use) => {
    const { open, pass } = gate();
    const app = await use({
      later: async (session) => {
        assert.equal(session.userId, "ada");
        await pass();
        session.data.later = 1;
        return "done";
      },
      act: (session) => session.signOut(),
    });
    const streaming = await app.ask("/own/page");
    await (await callAct(app, "return")).text();
    open();
    await streaming.text();
    assert.equal((await app.sessions.list("ada")).length, 0);
    assert.deepEqual(
      app.dropped.map(({ reason }) => reason),
      ["ended"],
    );
  },

  "does not extend the session for a page that a browser prefetches": async (use) => {
    for (const [headers, found] of [
      [{ "sec-purpose": "prefetch" }, false],
      [{}, true],
    ]) {
      const app = await use({});
      app.advance("8m");
      await (await app.ask("/own/page", { headers })).text();
      app.advance("8m");
      assert.equal((await app.sessions.list("ada")).length === 1, found);
    }
  },

  "refuses the session to a page that is rendered by the build": async (use) => {
    const app = await use({ page: ({ userId }) => userId });
    process.env.TSS_PRERENDERING = "true";
    try {
      assert.equal((await app.ask("/own/page")).status, 500);
      assert.equal((await app.ask("/own/acting")).status, 200);
    } finally {
      delete process.env.TSS_PRERENDERING;
    }
  },

  "refuses a server function to a visitor by a middleware that uses the session": async (use) => {
    const app = await use({});
    const visitor = await app.visit("/own/guarded");
    assert.deepEqual([visitor.status, visitor.headers.get("location")], [307, "/login"]);
    assert.equal(await (await app.ask("/own/guarded")).text(), "ada");
  },

  "has nothing of the server in the client's bundle": async () => {
    const folder = new URL("dist/client/assets/", import.meta.url);
    const files = readdirSync(folder).filter((file) => file.endsWith(".js"));
    assert.ok(files.length > 1);
    const isOurs = /ERR_SESSION|createSessions|node:crypto|sessionMiddleware/;
    assert.deepEqual(
      files.filter((file) => isOurs.test(readFileSync(new URL(file, folder), "utf8"))),
      [],
    );
  },
};

const startWith = ({ mounts, ...functions }) => start({ mounts, functions });

export const ownCases = casesWith(globalThis.sojourn, startWith, cases);
