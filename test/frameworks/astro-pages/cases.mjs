import assert from "node:assert/strict";

const FORM = { "content-type": "application/x-www-form-urlencoded" };

export const cases = [
  [
    "keeps the changes of 200 pages that one client loads at once",
    async ({ ask, signedIn, cookiesOf }) => {
      const cookie = await signedIn("ada");
      const pages = Array.from({ length: 200 }, () => ask("/count", { cookie }));
      for (const page of await Promise.all(pages)) {
        assert.equal(page.status, 200);
        assert.deepEqual(cookiesOf(page), []);
        assert.match(await page.text(), /<h1>ada<\/h1>/);
      }
      const { data } = await (await ask("/data", { cookie })).json();
      assert.equal(data.count, 200);
    },
  ],
  [
    "takes a flash in a layout, once, although the headers have left",
    async ({ ask, cookiesOf }) => {
      const first = await ask("/count?flash");
      const [cookie, ...others] = cookiesOf(first);
      assert.deepEqual(others, []);
      assert.match(await first.text(), /Saved\./);
      const second = await ask("/layout", { cookie });
      assert.match(second.headers.get("vary"), /cookie/i);
      assert.doesNotMatch(await second.text(), /Saved\./);
      assert.deepEqual((await (await ask("/data", { cookie })).json()).data, { count: 1 });
    },
  ],
  [
    "stores what a component changes while the page is streamed, before the page ends",
    async ({ ask, signedIn, close }) => {
      const cookie = await signedIn("ada");
      const late = close("late");
      const response = await ask("/streamed", { cookie });
      await late.reached;
      assert.equal(response.headers.get("cache-control"), "private");
      late.open();
      assert.match(await response.text(), /late ada/);
      const { data } = await (await ask("/data", { cookie })).json();
      assert.deepEqual(data, { late: true });
    },
  ],
  [
    "breaks a page off whose component uses the session first, after the headers, unless the page is personal",
    async ({ ask, signedIn, close }) => {
      const cookie = await signedIn("ada");
      const late = close("late");
      const response = await ask("/late", { cookie });
      assert.equal(response.headers.get("vary"), null);
      late.open();
      // Astro ends the body with a text of its own, and closes the connection.
      await assert.rejects(response.text());
      const personal = await ask("/personal", { cookie });
      assert.equal(personal.headers.get("cache-control"), "private");
      assert.match(await personal.text(), /late ada/);
    },
  ],
  [
    "ends a streamed page at a sign-out in another tab, which its late change does not undo",
    async ({ ask, signedIn, sessions }) => {
      const cookie = await signedIn("ada");
      const dropped = [];
      sessions.on("dropped", ({ reason }) => dropped.push(reason));
      const response = await ask("/ended", { cookie });
      await ask("/data", { method: "DELETE", cookie });
      assert.match(await response.text(), /ended/);
      assert.deepEqual(dropped, ["ended"]);
      assert.equal((await (await ask("/data", { cookie })).json()).userId, null);
    },
  ],
  [
    "keeps what another tab writes while an action runs, and redirects when both are stored",
    async ({ ask, signedIn, close }) => {
      const cookie = await signedIn("ada");
      const action = close("action");
      const acted = ask("/acting?_action=signIn", { method: "POST", cookie, headers: FORM, body: "text=sent" });
      await action.reached;
      await ask("/data", { method: "POST", cookie, body: "written", headers: { "content-type": "text/plain" } });
      action.open();
      const response = await acted;
      assert.deepEqual([response.status, response.headers.get("location")], [303, "/data"]);
      const { data } = await (await ask("/data", { cookie })).json();
      assert.deepEqual(data, { tab: "written", action: "sent", count: 1 });
    },
  ],
  [
    "signs in by an action, with one cookie: for a form, and for a script",
    async ({ ask, cookiesOf }) => {
      const body = "text=in&user=ada";
      for (const path of ["/acting?_action=signIn", "/_actions/signIn/"]) {
        const response = await ask(path, { method: "POST", headers: FORM, body });
        const [cookie, ...others] = cookiesOf(response);
        assert.deepEqual(others, [], path);
        const { userId, data } = await (await ask("/data", { cookie })).json();
        assert.deepEqual([userId, data], ["ada", { action: "in", count: 1 }], path);
      }
    },
  ],
  [
    "has one session and one cookie where a page is rewritten to another one",
    async ({ ask, calls, cookiesOf }) => {
      const before = calls.create;
      const response = await ask("/rewriting");
      assert.match(await response.text(), /<p>count<\/p>/);
      const [cookie, ...others] = cookiesOf(response);
      assert.deepEqual(others, []);
      assert.equal(calls.create - before, 1);
      assert.deepEqual((await (await ask("/data", { cookie })).json()).data, { tab: "rewritten", count: 1 });
    },
  ],
  [
    "has one session and one cookie where 404.astro takes the place of a page, or of none",
    async ({ ask, cookiesOf }) => {
      for (const [path, data] of [
        ["/missing", { tab: "missing", missed: "/missing" }],
        ["/nowhere", { missed: "/nowhere" }],
      ]) {
        const response = await ask(path);
        assert.equal(response.status, 404);
        assert.match(await response.text(), /There is no such page/);
        const [cookie, ...others] = cookiesOf(response);
        assert.deepEqual(others, [], path);
        assert.deepEqual((await (await ask("/data", { cookie })).json()).data, data);
      }
    },
  ],
  [
    "shows the user on 500.astro, and stores nothing of the page that threw",
    async ({ ask, signedIn }) => {
      const cookie = await signedIn("ada");
      const response = await ask("/throwing", { cookie });
      assert.equal(response.status, 500);
      assert.equal(response.headers.get("cache-control"), "private");
      assert.match(await response.text(), /<h1>ada<\/h1>[^]*Something went wrong/);
      assert.deepEqual((await (await ask("/data", { cookie })).json()).data, {});
    },
  ],
  [
    "keeps no page with a session in Astro's cache, and other pages in it",
    async ({ ask, signedIn }) => {
      const cookie = await signedIn("ada");
      const first = await ask("/cached?personal", { cookie });
      assert.match(await first.text(), /<h1>ada<\/h1>/);
      const second = await ask("/cached?personal");
      assert.match(await second.text(), /<h1>nobody<\/h1>/);
      assert.equal(second.headers.get("x-astro-cache"), null);
      await (await ask("/cached")).text();
      const hit = await ask("/cached", { cookie });
      assert.match(await hit.text(), /<h1>everybody<\/h1>/);
      assert.equal(hit.headers.get("x-astro-cache"), "HIT");
    },
  ],
];
