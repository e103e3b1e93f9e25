import { describe, expect, it } from "vitest";
import { seededRandom } from "../../test/support/random.ts";
import { cookieParts, createCookie, type CookieOptions } from "./cookie.ts";
import { TOKEN_LENGTH } from "../record/token.ts";

const DAY = 86_400_000;
const make = (options: CookieOptions = {}, absoluteTimeout = 30 * DAY) => createCookie(options, absoluteTimeout);
const refusal = (options: unknown) => () => make(options as CookieOptions);

describe("SessionCookie.set", () => {
  it("is as the defaults say, over HTTPS and over HTTP", () => {
    expect(make().set("v", DAY, true)).toBe("__Host-session=v; Max-Age=86400; Path=/; Secure; HttpOnly; SameSite=Lax");
    expect(make().set("v", DAY, false)).toBe("session=v; Max-Age=86400; Path=/; HttpOnly; SameSite=Lax");
  });

  it("follows every option", () => {
    const everything = make({
      name: "sid",
      domain: "shop.example",
      path: "/app",
      sameSite: "none",
      secure: true,
      partitioned: true,
      persistent: false,
    });
    const line = "__Secure-sid=v; Path=/app; Domain=shop.example; Secure; HttpOnly; SameSite=None; Partitioned";
    expect(everything.set("v", DAY, true)).toBe(line);
    expect(everything.set("v", DAY, false)).toBe(line);
    expect(make({ sameSite: "strict" }).set("v", DAY, false)).toMatch(/; SameSite=Strict$/);
    expect(make({ secure: false }).set("v", DAY, true)).toBe(
      "session=v; Max-Age=86400; Path=/; HttpOnly; SameSite=Lax",
    );
  });

  it.each<[CookieOptions, string]>([
    [{}, "__Host-session"],
    [{ name: "sid" }, "__Host-sid"],
    [{ path: "/app" }, "__Secure-session"],
    [{ domain: "shop.example" }, "__Secure-session"],
    [{ name: "__Host-sid", secure: true }, "__Host-sid"],
    [{ name: "__Secure-sid", secure: true }, "__Secure-sid"],
    [{ name: "__Secure-sid", secure: true, domain: "shop.example" }, "__Secure-sid"],
    [{ name: "__hOsT-sid", secure: true }, "__hOsT-sid"],
    [{ secure: false }, "session"],
  ])("with %o is called %s over HTTPS", (options, name) => {
    expect(make(options).set("v", DAY, true)).toMatch(new RegExp(`^${name}=v; `));
  });

  it("rounds the lifetime up to whole seconds, and is never negative", () => {
    const age = (lifetime: number) => /Max-Age=(-?\d+)/.exec(make().set("v", lifetime, true))?.[1];
    expect([1, 999, 1000, 1001, 0, -5000].map(age)).toEqual(["1", "1", "1", "2", "0", "0"]);
  });
});

describe("SessionCookie.clear", () => {
  it.each<CookieOptions>([
    {},
    { path: "/app" },
    { domain: "shop.example" },
    { secure: true, partitioned: true, sameSite: "none" },
    { secure: false },
    { persistent: false, name: "sid", sameSite: "strict" },
  ])("repeats the attributes that it was set with: %o", (options) => {
    const cookie = make(options);
    for (const secure of [true, false]) {
      const [pair, ...attributes] = cookie.set("v", DAY, secure).split("; ");
      const name = pair!.slice(0, pair!.indexOf("="));
      const kept = attributes.filter((attribute) => !attribute.startsWith("Max-Age="));
      expect(cookie.clear(secure).split("; ")).toEqual([`${name}=`, "Max-Age=0", ...kept]);
    }
  });
});

describe("cookieParts", () => {
  const common = { path: "/", httpOnly: true, sameSite: "lax" } as const;

  it.each<[CookieOptions, boolean, object]>([
    [{}, true, { name: "__Host-session", attributes: { ...common, maxAge: 86_400, secure: true } }],
    [{}, false, { name: "session", attributes: { ...common, maxAge: 86_400, secure: false } }],
    [{ persistent: false }, true, { name: "__Host-session", attributes: { ...common, secure: true } }],
    [
      { name: "sid", domain: "shop.example", path: "/a=b c", sameSite: "strict" },
      true,
      {
        name: "__Secure-sid",
        attributes: {
          path: "/a=b c",
          domain: "shop.example",
          maxAge: 86_400,
          httpOnly: true,
          secure: true,
          sameSite: "strict",
        },
      },
    ],
    [
      { secure: true, sameSite: "none", partitioned: true },
      true,
      {
        name: "__Host-session",
        attributes: { ...common, maxAge: 86_400, secure: true, sameSite: "none", partitioned: true },
      },
    ],
  ])("has the name, the value and each attribute that the options %o give over HTTPS: %s", (options, secure, parts) => {
    expect(cookieParts(make(options).set("1-_aZ", DAY, secure))).toEqual({ value: "1-_aZ", ...parts });
  });

  it("of a cookie that deletes has an empty value and no lifetime", () => {
    expect(cookieParts(make().clear(true))).toEqual({
      name: "__Host-session",
      value: "",
      attributes: { ...common, maxAge: 0, secure: true },
    });
  });
});

describe("createCookie refuses", () => {
  const strange = ["\r", "\n", "\0", ";", "\u007f", "\u001f", "ü", "\u2028", "\ud800"];

  it("a name that is no token", () => {
    for (const character of [...strange, " ", "\t", "=", ",", '"', "(", ")", "/", ":", "<", "?", "@", "[", "\\", "{"]) {
      for (const name of [character, `a${character}`, `${character}a`, `a${character}b`]) {
        expect(refusal({ name }), `with ${JSON.stringify(name)}`).toThrow(/^cookie\.name: /);
      }
    }
    expect(refusal({ name: "" })).toThrow(/^cookie\.name/);
    expect(refusal({ name: "session\n" })).toThrow(TypeError);
    expect(refusal({ name: "a!#$%&'*+-.^_`|~9" })).not.toThrow();
  });

  it("a name of more than 200 characters", () => {
    expect(refusal({ name: "n".repeat(201) })).toThrow("cookie.name is too long: it has 201 characters");
    const longest = make({ name: "n".repeat(200) });
    const pair = longest.set("v".repeat(81), DAY, true).split(";")[0]!;
    expect(pair.length - "=".length).toBeLessThanOrEqual(4096);
  });

  it("a domain that is no host name", () => {
    for (const domain of [
      ...strange.map((c) => `a${c}.example`),
      "",
      ".shop.example",
      "a b",
      "a,b",
      "a=b",
      "-a",
      "a-",
      "a.",
      "http://a",
      "a/b",
      "a:80",
      "*",
    ]) {
      expect(refusal({ domain }), `with ${JSON.stringify(domain)}`).toThrow(/^cookie\.domain: /);
    }
    expect(refusal({ domain: "shop.example\n" })).toThrow(TypeError);
  });

  it("a path that could end the attribute", () => {
    for (const path of [
      ...strange.map((c) => `/a${c}b`),
      "",
      "a",
      "app/",
      "; Domain=evil.example",
      "/;",
      "/\r\nSet-Cookie: a=b",
    ]) {
      expect(refusal({ path }), `with ${JSON.stringify(path)}`).toThrow(/^cookie\.path: /);
    }
  });

  it("what a browser would", () => {
    expect(refusal({ sameSite: "none" })).toThrow(/cookie\.secure to true/);
    expect(refusal({ sameSite: "none", secure: false })).toThrow(/cookie\.secure to true/);
    expect(refusal({ partitioned: true })).toThrow(/cookie\.secure to true/);
    for (const name of ["__Host-a", "__Secure-a", "__HOST-a", "__secure-a"]) {
      expect(refusal({ name })).toThrow(/cookie\.secure to be true/);
      expect(refusal({ name, secure: false })).toThrow(/cookie\.secure to be true/);
    }
    expect(refusal({ name: "__Host-a", secure: true, path: "/app" })).toThrow(/__Host-/);
    expect(refusal({ name: "__hOSt-a", secure: true, domain: "a.example" })).toThrow(/__Host-/);
  });

  it("a lifetime of more than 400 days, unless the browser decides", () => {
    expect(() => make({}, 400 * DAY)).not.toThrow();
    expect(() => make({}, 400 * DAY + 1)).toThrow(/400 days/);
    expect(() => make({ persistent: false }, 4000 * DAY)).not.toThrow();
  });

  it.each([
    { sameSite: "Lax" },
    { sameSite: "lax; Domain=evil.example" },
    { sameSite: null },
    { sameSite: true },
    { secure: "true" },
    { secure: 1 },
    { secure: null },
    { partitioned: "yes", secure: true },
    { persistent: 0 },
  ])("%o", (options) => {
    expect(refusal(options)).toThrow(/is not one of/);
  });

  it.each([{ domain: null }, { domain: true }, { name: 5 }, { name: ["session"] }])(
    "what is no string: %o",
    (options) => {
      expect(refusal(options)).toThrow(TypeError);
    },
  );
});

describe("SessionCookie.values", () => {
  const values = (header: string | undefined, secure = false) => make().values(header, secure);

  it("reads the cookie among others", () => {
    expect(values("session=v")).toEqual(["v"]);
    expect(values("a=1; session=v; b=2")).toEqual(["v"]);
    expect(values("a=1;session=v;b=2")).toEqual(["v"]);
    expect(values("a=1;\t \tsession=v")).toEqual(["v"]);
    expect(values("session=a=b==")).toEqual(["a=b=="]);
  });

  it("has nothing where there is none", () => {
    for (const header of [undefined, "", ";", "; ; ;", "session", "a=1", "=session", "a=session=v", " "]) {
      expect(values(header), `with ${header}`).toEqual([]);
    }
  });

  it("believes only the prefixed name over HTTPS, and only the bare one over HTTP", () => {
    const both = "session=bare; __Host-session=host; __Secure-session=secure";
    expect(values(both, true)).toEqual(["host"]);
    expect(values(both, false)).toEqual(["bare"]);
    expect(make({ secure: true }).values(both, false)).toEqual(["host"]);
    expect(make({ secure: false }).values(both, true)).toEqual(["bare"]);
    expect(make({ path: "/app" }).values(both, true)).toEqual(["secure"]);
  });

  it("never takes another name for it", () => {
    for (const name of [
      "Session",
      "SESSION",
      "xsession",
      "session2",
      "session ",
      "session\t",
      "sessio",
      "\u00a0session",
      "\u2003session",
      "\ufeffsession",
      "\u000bsession",
      "\0session",
      "%73ession",
      '"session"',
      "$session",
      "ſession",
      "session\0",
      "-session",
      ",session",
    ]) {
      expect(values(`${name}=v`), `with ${JSON.stringify(name)}`).toEqual([]);
      expect(values(`a=1; ${name}=v; b=2`), `with ${JSON.stringify(name)}`).toEqual([]);
    }
  });

  it("gives the bytes as they came: no unquoting, decoding or trimming", () => {
    for (const value of ['"v"', "v ", " v", "v\t", "%76", "v\u00a0", "v,session=w", "", " ", "v\r", "\ud800"]) {
      expect(values(`session=${value}`)).toEqual([value]);
    }
  });

  it("gives each of several once, in the order that they came", () => {
    expect(values("session=a; session=b; session=a; session=b")).toEqual(["a", "b"]);
    expect(values("session=1; session=2; session=3; session=4; session=5")).toEqual(["1", "2", "3", "4", "5"]);
  });

  it("gives the first sixteen that might be tokens, each once, and stops there", () => {
    const token = (n: number) => String(n).padStart(TOKEN_LENGTH, "a");
    const all = Array.from({ length: 700 }, (_, n) => token(n));
    const header = all.map((value) => `session=${value}; session=${value}`).join("; ");
    expect(values(header)).toEqual(all.slice(0, 16));
    const odd = all.map((value) => `session=${value}0`).join("; ");
    expect(values(`${odd}; session=${token(1)}`).at(-1)).toBe(token(1));
  });

  it("is the same as a slow and simple reading, for 30,000 random headers", () => {
    const random = seededRandom(9);
    const pieces = [
      "session",
      "=",
      ";",
      " ",
      "\t",
      "v",
      "w",
      '"',
      "session=",
      "; session=",
      "Session",
      ",",
      "\u00a0",
      "__Host-",
    ];
    const simple = (header: string) => {
      const found = header
        .split(";")
        .map((pair) => pair.replace(/^[ \t]+/, ""))
        .filter((pair) => pair.startsWith("session="))
        .map((pair) => pair.slice("session=".length));
      return [...new Set(found)];
    };
    const different: string[] = [];
    for (let i = 0; i < 30_000; i++) {
      const header = Array.from(
        { length: Math.floor(random() * 30) },
        () => pieces[Math.floor(random() * pieces.length)],
      ).join("");
      if (values(header).join("|") !== simple(header).join("|")) different.push(header);
    }
    expect(different).toEqual([]);
  });

  it("takes time in step with the header's length, however it is made", () => {
    // This is processor time in milliseconds, so that other load does not count.
    const spent = (header: string) => {
      let least = Infinity;
      for (let i = 0; i < 5; i++) {
        const began = process.cpuUsage();
        values(header);
        least = Math.min(least, process.cpuUsage(began).user / 1000);
      }
      return least;
    };
    for (const piece of [
      ";",
      " ",
      "\t;",
      "session=",
      "session=;",
      "; session",
      "=",
      "session=a; session=b; session=c;",
      "sessionsession",
    ]) {
      const [short, long] = [spent(piece.repeat(20_000)), spent(piece.repeat(320_000))];
      // The header is sixteen times as long. A quadratic parser would take 256 times as long.
      expect(long, `with ${JSON.stringify(piece)}`).toBeLessThan(Math.max(short, 0.5) * 100);
    }
  });
});
