import { describe, expect, it, vi } from "vitest";
import { site, type Held } from "../../test/support/express-session.ts";
import { cookieSession } from "../interop/cookie-session.ts";
import { hmac } from "../interop/signatures.ts";
import { memoryStore } from "../stores/memory.ts";
import { faulty } from "../testing/faulty.ts";

type Sent = { send(body: string): void; json(body: unknown): void };

const routes = {
  "/set": (req: Held, res: Sent) => {
    Object.assign(req.session, req.query);
    res.send("");
  },
  "/get": (req: Held, res: Sent) => res.json({ ...req.session, cookie: undefined }),
};

describe("the cookie of a session", () => {
  it.each([{ path: "/;" }, { expires: new Date(NaN) }, { sameSite: "none of them" }])(
    "fails the response where it is given the attribute %o, and the session stays as it was",
    async (attribute) => {
      const bad = (req: Held, res: Sent) => {
        Object.assign(req.session.cookie, attribute);
        req.session.a = 2;
        res.send("");
      };
      for (const rolling of [true, false]) {
        const { visitor } = await site({ ...routes, "/bad": bad }, { rolling });
        const ada = visitor();
        expect(await ada.get("/bad")).toMatchObject({ status: 500, setCookies: [] });
        await ada.get("/set?a=1");
        expect(await ada.get("/bad")).toMatchObject({ status: 500, setCookies: [] });
        expect((await ada.get("/get")).body).toBe('{"a":"1"}');
      }
    },
  );

  it("fails each response of a request for which the option gives an attribute that no browser takes", async () => {
    const { visitor } = await site(routes, { cookie: () => ({ domain: "shop;example" }), rolling: true });
    expect(await visitor().get("/set?a=1")).toMatchObject({ status: 500, setCookies: [] });
  });

  it.each([{ path: "/;" }, { originalMaxAge: "long" }, "chocolate"])(
    "has the attributes of the options where data that were adopted have %o under the key cookie",
    async (cookie) => {
      const value = Buffer.from(JSON.stringify({ cookie, a: "1" })).toString("base64");
      const signature = hmac("sha1", "key", `old=${value}`).toString("base64url");
      const { visitor } = await site(routes, { adopt: [cookieSession({ keys: "key", name: "old" })] });
      const answer = await visitor().get("/get", { cookie: `old=${value}; old.sig=${signature}` });
      expect([answer.status, answer.body]).toEqual([200, '{"a":"1"}']);
      expect(answer.setCookies[0]).toMatch(/^connect\.sid=[^;]+; Path=\/; HttpOnly$/);
    },
  );

  it("has Secure and SameSite=None under auto, where X-Forwarded-Proto is trusted", async () => {
    const { visitor } = await site(routes, { proxy: true, cookie: { secure: "auto", sameSite: "auto" } });
    const headers = { "x-forwarded-proto": "https" };
    expect((await visitor().get("/set?a=1", { headers })).setCookies[0]).toMatch(/; Secure; SameSite=None$/);
    expect((await visitor().get("/set?a=1")).setCookies[0]).toMatch(/; HttpOnly; SameSite=Lax$/);
  });

  it("is not set over HTTP, if it is to be secure", async () => {
    const { visitor } = await site(routes, { cookie: { secure: true } });
    expect((await visitor().get("/set?a=1")).setCookies).toEqual([]);
  });

  it.each([
    [{}, true, "SOJOURN_SECURE_OVER_HTTP"],
    [{}, false, undefined],
    [{ "x-forwarded-proto": "https" }, true, "SOJOURN_UNTRUSTED_PROXY"],
    [{ "x-forwarded-proto": "https" }, false, "SOJOURN_UNTRUSTED_PROXY"],
  ])("warns that it is not set, once: %o, diagnostics %o", async (headers, diagnostics, code) => {
    const name = `sid-${Object.keys(headers).length}-${diagnostics}`;
    const warned = vi.spyOn(process, "emitWarning").mockImplementation(() => {});
    const { visitor } = await site(routes, { name, diagnostics, cookie: { secure: true } });
    for (const n of [1, 2]) expect((await visitor().get(`/set?a=${n}`, { headers })).status).toBe(200);
    const calls = warned.mock.calls.map(([message, options]) => [String(message), (options as { code: string }).code]);
    warned.mockRestore();
    expect(calls).toEqual(code ? [[expect.stringContaining(`The cookie ${name} is not set`), code]] : []);
  });

  it.each([
    ["path", "/a\r\nset-cookie: b=c"],
    ["domain", "a; b"],
    ["sameSite", "sometimes"],
    ["priority", "urgent"],
    ["maxAge", NaN],
    ["maxAge", Infinity],
    ["expires", new Date(NaN)],
  ])("of the %s %o fails the response, and nothing is stored", async (name, value) => {
    const unhandled = vi.fn<(error: unknown) => void>();
    process.on("unhandledRejection", unhandled);
    const store = faulty(memoryStore());
    const handlers = {
      "/set": (req: Held, res: Sent) => {
        req.session.cookie[name] = value;
        req.session.user = "ada";
        res.send("");
      },
      "/begin": (req: Held, res: Sent) => {
        req.session.count = 1;
        res.send("");
      },
      "/get": (req: Held, res: Sent) => res.send(`${req.session.count} ${req.session.user}`),
    };
    const { visitor } = await site(handlers, { store });
    const ada = visitor();
    expect(await ada.get("/set")).toMatchObject({ status: 500, setCookies: [] });
    expect(store.calls.create).toBe(0);
    await ada.get("/begin");
    expect(await ada.get("/set")).toMatchObject({ status: 500, setCookies: [] });
    expect((await ada.get("/get")).body).toBe("1 undefined");
    process.off("unhandledRejection", unhandled);
    expect(unhandled).not.toHaveBeenCalled();
  });

  it("that a function of the request gets wrong fails the response", async () => {
    const cookie = () => ({ path: "/", domain: "a; b" });
    const { visitor } = await site({ "/": (req, res) => res.send((req.session.a = "b")) }, { cookie });
    expect(await visitor().get("/")).toMatchObject({ status: 500, setCookies: [] });
  });

  it("keeps the attributes that a handler gives it", async () => {
    const strict = (req: Held, res: Sent) => {
      req.session.a = 1;
      Object.assign(req.session.cookie, { sameSite: "strict", httpOnly: false });
      res.send("");
    };
    const show = (req: Held, res: Sent) => res.json(req.session.cookie.sameSite);
    const { visitor } = await site({ "/strict": strict, "/show": show });
    const ada = visitor();
    expect((await ada.get("/strict")).setCookies[0]).toMatch(/; Path=\/; SameSite=Strict$/);
    expect((await ada.get("/show")).body).toBe('"strict"');
  });
});
