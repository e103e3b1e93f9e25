import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { createSessions } from "sojourn";
import { memoryStore } from "sojourn/memory";
import { cookieFor, faulty, testClock } from "sojourn/testing";
import { Client, eventually } from "./client.mjs";

/** The cases of pages and server actions. They share one application; each has users of its own. */
export function pageCases(suite, { host }) {
  const { clock, advance } = testClock();
  const failing = new Set();
  const plan = Object.fromEntries(
    ["read", "create", "update", "touch", "delete"].map((name) => [name, () => (failing.has(name) ? "error" : "ok")]),
  );
  const store = faulty(memoryStore({ clock }), plan);
  let made = 0;
  const gates = new Map();
  const told = new Map();
  Object.assign(suite, {
    createSessions() {
      made += 1;
      return createSessions({ secretKey: randomBytes(32), store, clock, idleTimeout: "10m" });
    },
    async gate(name) {
      const gate = gates.get(name);
      gate?.arrive();
      await gate?.opened;
    },
    tell: (name, value) => told.set(name, value),
  });
  /** A place where the application waits for the case. */
  function closed(name) {
    const gate = {};
    gate.reached = new Promise((resolve) => (gate.arrive = resolve));
    gate.opened = new Promise((resolve) => (gate.open = resolve));
    gates.set(name, gate);
    return gate;
  }
  const visitor = () => new Client(host);
  let users = 0;
  async function signedIn(data) {
    users += 1;
    const user = `user${users}`;
    const cookie = await cookieFor(await sessionsOf(), user, { data });
    const jar = cookie.split("; ").map((pair) => pair.split("="));
    return { user, client: new Client(host, new Map(jar.filter(([name]) => name === "session"))) };
  }
  let sessions;
  async function sessionsOf() {
    if (!sessions) {
      const { getSessions } = (await import("sojourn/next")).nextSessions(() => suite.createSessions());
      sessions = getSessions();
    }
    return sessions;
  }
  const dropped = [];
  const shows = async (client, wanted, path = "/shown") => {
    const { text } = await client.get(path);
    assert.ok(text.includes(wanted), `${path} must show ${JSON.stringify(wanted)}, not ${text}`);
  };

  const cases = {
    "a visitor's page costs no store operation, sets no cookie and is kept by no shared cache": async () => {
      const before = store.calls.total;
      const { response } = await visitor().get("/shown");
      assert.equal(response.status, 200);
      assert.deepEqual(response.headers.getSetCookie(), []);
      assert.match(response.headers.get("cache-control"), /private|no-store/);
      assert.equal(store.calls.total, before);
    },
    "a component shows the session, in a page that no cache keeps": async () => {
      const { client, user } = await signedIn({ count: 1 });
      const { response, text } = await client.get("/shown");
      assert.ok(text.includes(`user ${user} data {"count":1}`), text);
      assert.match(response.headers.get("cache-control"), /no-store/);
    },
    "a component is refused every change, with an error that names the remedy, and nothing is stored": async () => {
      const data = { cart: { items: ["tea"] }, seen: new Map([["a", { at: new Date(0) }]]), tags: new Set(["a"]) };
      const { client, user } = await signedIn(data);
      const { create, update } = store.calls;
      const { text } = await client.get("/refused");
      const lines = text.split("\n").filter((line) => line.includes(": "));
      assert.equal(lines.length, 18, text);
      for (const line of lines) assert.match(line, /: TypeError .*(?:action\(async|getSession\(\))/, line);
      assert.deepEqual([store.calls.create, store.calls.update], [create, update]);
      await shows(client, `user ${user} data {"cart":{"items":["tea"]}`);
    },
    "an action signs in, and the page in its answer shows the user": async () => {
      const client = visitor();
      const { response, text } = await client.send("signIn", "ann");
      assert.equal(response.status, 200);
      assert.equal(response.headers.getSetCookie().length, 1);
      assert.match(response.headers.getSetCookie()[0], /HttpOnly.*SameSite=lax/i);
      assert.match(response.headers.get("cache-control"), /no-store/);
      assert.ok(text.includes("user ann"), text);
      await shows(client, "user ann");
    },
    "an action that redirects has stored the session, and its answer has the cookie": async () => {
      const client = visitor();
      const { response } = await client.send("signInAndRedirect", "bea");
      assert.deepEqual([response.status, response.headers.get("location")], [303, "/shown"]);
      await shows(client, "user bea");
    },
    "an action that the script calls and that redirects answers with the page of the user": async () => {
      const client = visitor();
      const { response, text } = await client.call("signInAndRedirect", "bob");
      assert.match(response.headers.get("x-action-redirect"), /^\/shown/);
      assert.equal(response.headers.getSetCookie().length, 1);
      assert.ok(text.includes("user bob"), text);
      await shows(client, "user bob");
    },
    "an action that calls notFound() has stored the session, and its answer has the cookie": async () => {
      const client = visitor();
      const { response } = await client.send("signInAndNotFound", "cyd");
      assert.equal(response.status, 404);
      await shows(client, "user cyd");
    },
    "an action that changes data, and sets no cookie, has the page rendered anew": async () => {
      const { client } = await signedIn();
      const { response, text } = await client.call("count");
      assert.deepEqual(response.headers.getSetCookie(), []);
      assert.ok(text.includes('"count\\":1') || text.includes('"count":1'), text);
    },
    "an action that throws stores nothing": async () => {
      const { client } = await signedIn();
      const { response } = await client.send("fail");
      assert.equal(response.status, 500);
      await shows(client, "data {}");
    },
    "an action within an action has its session, and both are stored once": async () => {
      const { client } = await signedIn();
      const { update } = store.calls;
      await client.send("nested");
      assert.equal(told.get("nested"), "inner");
      assert.equal(store.calls.update, update + 1);
      await shows(client, 'data {"first":"outer","second":"inner"}');
    },
    "two actions one after another, below a function of the application, are both stored": async () => {
      const { client } = await signedIn();
      await client.send("twoInOne");
      await shows(client, 'data {"count":1,"second":"inner"}');
    },
    "a server action without action(fn) is refused a change": async () => {
      const { client } = await signedIn();
      await client.send("unwrapped");
      assert.match(told.get("unwrapped"), /action\(async \(session\)/);
      await shows(client, "data {}");
    },
    "an action that redirects while another tab writes loses nothing": async () => {
      const { client } = await signedIn();
      const gate = closed("slow action");
      const slow = client.send("slow");
      await Promise.race([gate.reached, slow]);
      await client.twin().send("second");
      gate.open();
      assert.equal((await slow).response.status, 303);
      await shows(client, '"first":"slow"');
      await shows(client, '"second":"quick"');
    },
    "200 parallel requests to one session lose no change": async () => {
      const { client } = await signedIn();
      const posts = Array.from({ length: 200 }, () => client.ask("/other", { method: "POST" }));
      const statuses = (await Promise.all(posts)).map(({ status }) => status);
      assert.deepEqual([...new Set(statuses)], [307]);
      await shows(client, 'data {"count":200}');
    },
    "a route handler that calls redirect() or notFound() stores, sets the cookie and tells caches": async () => {
      for (const [way, status, location] of [
        ["redirect", 307, "/shown?a=1;b=2"],
        ["permanent", 308, "/shown"],
        ["notFound", 404, null],
      ]) {
        const client = visitor();
        const { response } = await client.get(`/other?way=${way}`);
        assert.deepEqual([response.status, response.headers.get("location")], [status, location]);
        assert.deepEqual(
          [response.headers.get("cache-control"), response.headers.getSetCookie().length],
          ["no-store", 1],
        );
        await shows(client, `data {"first":"${way}"}`);
      }
    },
    "a route handler within requireUser() of sojourn/fetch needs a user": async () => {
      const { client, user } = await signedIn();
      assert.equal((await client.get("/user")).text, user);
      const { response } = await visitor().get("/user");
      assert.deepEqual([response.status, response.headers.get("cache-control")], [401, "no-store"]);
    },
    "a redirect() after a form becomes a 303": async () => {
      const { client } = await signedIn();
      const response = await client.ask("/other", { method: "POST", body: new URLSearchParams({ a: "1" }) });
      assert.equal(response.status, 303);
    },
    "pages and route handlers share the sessions, which are made once": async () => {
      const { client } = await signedIn();
      await client.ask("/other", { method: "POST" });
      await shows(client, 'data {"count":1}');
      assert.equal(made, 1);
    },
    "two components and a parallel route read the store once": async () => {
      const { client, user } = await signedIn();
      const { read } = store.calls;
      const { text } = await client.get("/parallel");
      assert.ok(text.includes(`main ${user}`) && text.includes(`side ${user}`), text);
      assert.equal(store.calls.read, read + 1);
    },
    "a page extends the session of who looks at it": async () => {
      const { client, user } = await signedIn();
      for (let n = 0; n < 3; n += 1) {
        advance("8m");
        await shows(client, `user ${user}`);
        assert.ok(
          await eventually(async () => (await (await sessionsOf()).list(user))[0]?.expiresAt > clock() + 540_000),
        );
      }
    },
    "prefetches and speculative requests do not extend a session": async () => {
      for (const headers of [
        { rsc: "1", "next-router-prefetch": "1" },
        { rsc: "1", "next-router-prefetch": "2" },
        { "sec-purpose": "prefetch;prerender" },
        { purpose: "prefetch" },
      ]) {
        for (const path of ["/shown", "/other"]) {
          const { client, user } = await signedIn();
          advance("8m");
          await (await client.ask(path, { headers, redirect: "follow" })).text();
          advance("8m");
          const { text } = await client.get("/shown");
          assert.ok(text.includes("user nobody"), `${path} ${JSON.stringify(headers)}: ${user} was extended`);
        }
      }
    },
    "a component shows a flash once, after a redirect, and to a visitor too": async () => {
      for (const client of [(await signedIn()).client, visitor()]) {
        const { response } = await client.send("flash");
        assert.equal(response.status, 303);
        await shows(client, "flashes saved", "/messages");
        const { text } = await client.get("/messages");
        assert.ok(!text.includes("saved"), text);
      }
    },
    "a prefetch leaves a flash to the visit": async () => {
      const { client } = await signedIn();
      await client.send("flash");
      const headers = { rsc: "1", "next-router-prefetch": "2" };
      await (await client.ask("/messages", { headers, redirect: "follow" })).text();
      await shows(client, "flashes saved", "/messages");
    },
    "a page that streams while another tab signs out ends with the session aborted, and does not bring it back":
      async () => {
        const { client, user } = await signedIn();
        const gate = closed("stream");
        const page = client.twin().get("/streamed");
        await Promise.race([gate.reached, page]);
        assert.equal(await (await sessionsOf()).revokeAll(user), 1);
        gate.open();
        const { text } = await page;
        assert.ok(text.includes(`begin ${user}`) && text.includes(`end ${user} aborted true`), text);
        await shows(client, "user nobody");
      },
    "a store that can't be read is shown by error.tsx, and leaves the cookie alone": async () => {
      const { client, user } = await signedIn();
      failing.add("read");
      try {
        const { response, text } = await client.get("/failing");
        assert.deepEqual(response.headers.getSetCookie(), []);
        assert.ok(!text.includes(user) && !text.includes("nobody"), text);
      } finally {
        failing.clear();
      }
      await shows(client, `user ${user}`);
    },
    "an action that can't be stored fails, and leaves the cookie alone": async () => {
      const { client, user } = await signedIn();
      failing.add("update");
      try {
        const { response } = await client.send("count");
        assert.equal(response.status, 500);
        assert.deepEqual(response.headers.getSetCookie(), []);
      } finally {
        failing.clear();
      }
      await shows(client, `user ${user} data {}`);
    },
    'a function with "use cache: private" has the session as a plain object': async () => {
      const { client, user } = await signedIn({ cart: { items: ["tea"] } });
      await shows(client, `private ${user} {"cart":{"items":["tea"]}}`, "/private");
    },
    "the proxy knows who carries a session, without the store": async () => {
      const { client } = await signedIn();
      const before = store.calls.total;
      await shows(client, "the account", "/account");
      const { response } = await visitor().get("/account");
      assert.match(response.headers.get("location"), /\/shown\?sign-in$/);
      assert.equal(store.calls.total, before);
    },
    "draft mode and cookies of the application stay beside the cookie of the session": async () => {
      const client = visitor();
      const { response, text } = await client.get("/draft");
      assert.equal(text, "draft");
      const names = response.headers.getSetCookie().map((line) => line.split("=")[0]);
      assert.deepEqual(names.toSorted(), ["__prerender_bypass", "session", "theme"]);
      await shows(client, 'data {"first":"draft"}');
    },
    "after() reads the session, and a change in it is reported and not stored": async () => {
      (await sessionsOf()).on("dropped", (event) => dropped.push(event));
      const { client, user } = await signedIn();
      await client.send("later");
      assert.ok(await eventually(() => told.get("after") === "before"));
      assert.ok(await eventually(() => dropped.some((event) => event.userId === user)));
      await shows(client, 'data {"first":"before"}');
    },
  };
  return Object.entries(cases).map(([name, run]) => ({ name, run }));
}
