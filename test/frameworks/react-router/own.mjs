// Known failures of other libraries, and all that only React Router has: pages, their data, errors, prefetching.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { createSessions } from "sojourn";
import { memoryStore } from "sojourn/memory";
import { cookieFor, testClock } from "sojourn/testing";
import { casesWith, gate } from "./own-cases.mjs";
import { start } from "./server.mjs";

const post = { method: "POST", body: new URLSearchParams({ a: "1" }) };

const cases = {
  "keeps what parallel loaders of one page write, and stores it once": async (use) => {
    for (const path of ["/own/page", "/own/page.data"]) {
      const app = await use({
        layout: async ({ data }) => void (data.layout = 1),
        page: async ({ data }) => void (data.page = 1),
      });
      const response = await app.ask(path);
      assert.equal(response.status, 200);
      await response.text();
      assert.deepEqual(await app.dataOf(), { layout: 1, page: 1 });
      assert.equal(app.calls.update, 1);
    }
  },

  "sets one cookie for a session that parallel loaders begin": async (use) => {
    const app = await use({ layout: ({ data }) => void (data.layout = 1), page: ({ data }) => void (data.page = 1) });
    const response = await app.visit("/own/page");
    assert.equal(response.headers.getSetCookie().length, 1);
    assert.equal(response.headers.get("cache-control"), "no-store");
  },

  "keeps what 200 parallel loaders append": async (use) => {
    const app = await use({
      page: (session, request) => void (session.data.items ??= []).push(new URL(request.url).searchParams.get("n")),
    });
    await (await app.ask("/own/page.data?n=first")).text();
    const asked = Array.from({ length: 200 }, async (_, n) => {
      const response = await app.ask(`/own/page.data?n=${n}`);
      await response.text();
      return response.status;
    });
    assert.deepEqual(new Set(await Promise.all(asked)), new Set([200]));
    assert.equal(new Set((await app.dataOf()).items).size, 201);
  },

  "keeps what another tab writes while an action works that redirects": async (use) => {
    const { open, arrived, pass } = gate();
    const app = await use({
      page: (session) => void (session.data.tab = 1),
      action: async (session) => {
        session.data.action = 1;
        await pass();
        return new Response(null, { status: 302, headers: { location: "/own/page" } });
      },
    });
    const acting = app.ask("/own/page", post);
    await arrived;
    await (await app.ask("/own/page")).text();
    open();
    const response = await acting;
    assert.deepEqual([response.status, response.headers.get("location")], [302, "/own/page"]);
    assert.deepEqual(await app.dataOf(), { tab: 1, action: 1 });
  },

  "stores what an action writes that throws a redirect, and sets its cookie": async (use) => {
    for (const path of ["/own/page", "/own/page.data"]) {
      const app = await use({
        action: (session) => {
          session.signIn("bob");
          throw new Response(null, { status: 303, headers: { location: "/own/page" } });
        },
      });
      const response = await app.visit(path, post);
      assert.equal(response.status, path === "/own/page" ? 303 : 202);
      assert.equal(response.headers.getSetCookie().length, 1);
      assert.equal((await app.sessions.list("bob")).length, 1);
    }
  },

  "gives the loaders after an action the session that the action changed": async (use) => {
    const app = await use({
      action: (session) => {
        session.flash("info", "Saved.");
        return null;
      },
      page: (session) => session.takeFlashes("info")[0]?.message,
    });
    assert.match(await (await app.ask("/own/page", post)).text(), /Page: (?:<!-- -->)?Saved\./);
  },

  "stores what a loader writes that throws, and shows the error boundary": async (use) => {
    for (const path of ["/own/page", "/own/page.data"]) {
      const app = await use({
        page: (session) => {
          session.data.page = 1;
          throw new Error("planned error of a loader");
        },
      });
      const response = await app.visit(path);
      assert.equal(response.status, 500);
      assert.equal(response.headers.getSetCookie().length, 1);
      assert.match(await response.text(), path === "/own/page" ? /Boundary/ : /Unexpected Server Error/);
    }
  },

  "answers with the status of a SessionError that a loader throws": async (use) => {
    const app = await use({
      page: async (session) => {
        session.data.page = "x".repeat(3_000_000);
        await session.save();
      },
    });
    const response = await app.ask("/own/page");
    assert.equal(response.status, 413);
    assert.match(await response.text(), /Boundary/);
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
    for (const path of ["/own/page", "/own/page.data"]) {
      const response = await app.ask(path);
      open();
      assert.match(await response.text(), /done/);
      assert.equal((await app.dataOf()).later, 1);
    }
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
      action: (session) => {
        session.signOut();
        return null;
      },
    });
    const streaming = await app.ask("/own/page");
    await (await app.ask("/own/page.data", post)).text();
    open();
    await streaming.text();
    assert.equal((await app.sessions.list("ada")).length, 0);
    assert.deepEqual(
      app.dropped.map(({ reason }) => reason),
      ["ended"],
    );
  },

  "does not extend the session for a link that prefetches": async (use) => {
    for (const [headers, found] of [
      [{ "sec-purpose": "prefetch" }, false],
      [{}, true],
    ]) {
      const app = await use({});
      app.advance("8m");
      await (await app.ask("/own/page.data?_routes=routes%2Fpage", { headers })).text();
      app.advance("8m");
      assert.equal((await app.sessions.list("ada")).length === 1, found);
    }
  },

  "has nothing to do with the manifest of lazy route discovery": async (use) => {
    const app = await use({});
    const response = await app.ask("/__manifest?paths=%2Fown%2Fpage&version=other");
    assert.equal(response.status, 204);
    assert.equal(response.headers.get("vary"), null);
    assert.deepEqual(response.headers.getSetCookie(), []);
  },

  "sends a visitor of a guarded page to the login page, also where the browser fetches its data": async (use) => {
    const app = await use({});
    const page = await app.navigate("/own/guarded");
    assert.deepEqual([page.statusCode, page.headers.location], [303, "/login?returnTo=%2Fown%2Fguarded"]);
    const data = await app.visit("/own/guarded.data");
    assert.equal(data.status, 202);
    assert.match(await data.text(), /\/login\?returnTo=%2Fown%2Fguarded/);
    assert.equal((await app.ask("/own/guarded")).status, 200);
  },

  "refuses the session to a page that is rendered by the build": async (use) => {
    const app = await use({ page: () => "public" });
    process.env.IS_RR_BUILD_REQUEST = "yes";
    try {
      assert.equal((await app.ask("/own/page")).status, 500);
      assert.equal((await app.ask("/own/prerendered")).status, 200);
    } finally {
      delete process.env.IS_RR_BUILD_REQUEST;
    }
  },

  "has nothing of the server in the client's bundle": async () => {
    const folder = new URL("build/client/assets/", import.meta.url);
    const files = readdirSync(folder).filter((file) => file.endsWith(".js"));
    assert.ok(files.length > 3);
    const isOurs = /ERR_SESSION|createSessions|node:crypto|sessionMiddleware/;
    assert.deepEqual(
      files.filter((file) => isOurs.test(readFileSync(new URL(file, folder), "utf8"))),
      [],
    );
  },
};

const sojourn = { createSessions, memoryStore, cookieFor, testClock };
const startWith = ({ mounts, ...pages }) => start({ mounts, pages });

export const ownCases = casesWith(sojourn, startWith, cases);
