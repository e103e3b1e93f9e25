import assert from "node:assert/strict";

const HTML = { accept: "text/html" };
const FORM = { "content-type": "application/x-www-form-urlencoded", ...HTML };

export const cases = [
  [
    "keeps what two parallel load functions of a page change, and sets one cookie",
    async ({ ask, cookiesOf, close }) => {
      const [layout, page] = [close("layout"), close("page")];
      const asked = ask("/two", { headers: HTML });
      await Promise.all([layout.reached, page.reached]);
      page.open();
      layout.open();
      const response = await asked;
      assert.equal(response.status, 200);
      const [cookie, ...others] = cookiesOf(response);
      assert.deepEqual(others, []);
      const { data } = await (await ask("/data", { cookie })).json();
      assert.deepEqual(data, { layout: true, page: true, count: 2 });
    },
  ],
  [
    "gives 200 internal requests at once the session of their page, with one cookie and one write",
    async ({ ask, calls, cookiesOf }) => {
      const before = { ...calls };
      const response = await ask("/fetching", { headers: HTML });
      assert.match(await response.text(), /<h1>ada 200<\/h1>/);
      const [cookie, ...others] = cookiesOf(response);
      assert.deepEqual(others, []);
      assert.equal(calls.create - before.create, 1);
      assert.equal(calls.update - before.update, 0);
      const { userId, data } = await (await ask("/data", { cookie })).json();
      assert.deepEqual([userId, data], ["ada", { count: 200 }]);
    },
  ],
  [
    "keeps the changes of 200 pages that one client loads at once",
    async ({ ask, signedIn, cookiesOf }) => {
      const cookie = await signedIn("ada");
      const pages = Array.from({ length: 200 }, () => ask("/two", { cookie, headers: HTML }));
      for (const page of await Promise.all(pages)) {
        assert.equal(page.status, 200);
        assert.deepEqual(cookiesOf(page), []);
        await page.text();
      }
      const { data } = await (await ask("/data", { cookie })).json();
      assert.equal(data.count, 400);
    },
  ],
  [
    "stores what a streamed load function changes after the headers, before the page ends",
    async ({ ask, signedIn, close }) => {
      const cookie = await signedIn("ada");
      for (const path of ["/streamed", "/streamed/__data.json"]) {
        const slow = close("slow");
        const response = await ask(path, { cookie, headers: path.endsWith("json") ? {} : HTML });
        assert.equal(response.status, 200);
        await slow.reached;
        slow.open();
        assert.match(await response.text(), /late ada/);
        const { data } = await (await ask("/data", { cookie })).json();
        assert.equal(data.late, true, path);
      }
    },
  ],
  [
    "breaks a streamed page off whose change can't be stored",
    async ({ ask, cookiesOf, close }) => {
      const slow = close("slow");
      const response = await ask("/streamed", { headers: HTML });
      assert.deepEqual(cookiesOf(response), []);
      slow.open();
      // A visitor would need a cookie, and the headers have left.
      await assert.rejects(response.text());
    },
  ],
  [
    "ends a streamed page at a sign-out in another tab, which its late change does not undo",
    async ({ ask, signedIn, sessions }) => {
      const cookie = await signedIn("ada");
      const dropped = [];
      const stop = sessions.on("dropped", ({ reason }) => dropped.push(reason));
      const response = await ask("/signing", { cookie, headers: HTML });
      const signedOut = await ask("/logout", { method: "POST", cookie });
      assert.match(signedOut.headers.getSetCookie()[0], /^session=;/);
      assert.match(await response.text(), /ended/);
      assert.deepEqual(dropped, ["ended"]);
      stop?.();
      const { userId } = await (await ask("/data", { cookie })).json();
      assert.equal(userId, null);
    },
  ],
  [
    "keeps what another tab writes while a form action runs, and redirects when both are stored",
    async ({ ask, signedIn, close }) => {
      const cookie = await signedIn("ada");
      const action = close("action");
      const acted = ask("/acting", { method: "POST", cookie, headers: FORM, body: "text=sent" });
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
    "stores the changes of a load function that throws an error, or redirects, and sets their cookie",
    async ({ ask, cookiesOf }) => {
      for (const [path, status] of [
        ["/refusing", 418],
        ["/redirecting", 307],
      ]) {
        const response = await ask(path, { headers: HTML });
        assert.equal(response.status, status);
        const [cookie] = cookiesOf(response);
        const { data } = await (await ask("/data", { cookie })).json();
        assert.deepEqual(data, { count: 1 }, path);
      }
    },
  ],
  [
    "gives the scripts of SvelteKit the data of a page with the cookie and the headers for caches",
    async ({ ask, cookiesOf }) => {
      const response = await ask("/two/__data.json");
      assert.equal(response.status, 200);
      assert.equal(cookiesOf(response).length, 1);
      assert.match(response.headers.get("cache-control"), /no-store/);
      assert.match(response.headers.get("vary"), /cookie/i);
    },
  ],
  [
    "signs in by a remote function, and tells a remote query who it is",
    async ({ ask, cookiesOf }) => {
      const page = await (await ask("/remote", { headers: HTML })).text();
      assert.match(page, /nobody/);
      const [, action] = /<form[^>]* action="([^"]+)"/.exec(page);
      const path = `/remote${action.replaceAll("&amp;", "&")}`;
      const response = await ask(path, { method: "POST", headers: FORM, body: "" });
      const [cookie, ...others] = cookiesOf(response);
      assert.deepEqual(others, []);
      assert.match(await (await ask("/remote", { cookie, headers: HTML })).text(), /ada/);
      const { data } = await (await ask("/data", { cookie })).json();
      assert.deepEqual(data, { action: "remote" });
    },
  ],
];
