import { describe, expect, it } from "vitest";
import { seededRandom } from "../support/random.ts";
import { ask, raw, type Asking } from "../support/http/client.ts";
import { serve, ways, type Scene } from "../support/http/servers.ts";

const HOSTILE = 1500;
const RAW = 300;
const BYTES = [
  ...Array.from('=;,"\\ \t%$@|~!#&()*+./:<>?[]^`{}AZaz09-_'),
  "\u00a0",
  "é",
  "ÿ",
  "session",
  "; session=",
  "\u0085",
];
/** Values that Node's client refuses to send, so a raw socket sends them. */
const CONTROLS = ["\u0000", "\u0001", "\u0008", "\u000b", "\u000c", "\u001b", "\u007f", "\n", "\r"];

/** Derives Cookie headers from a real one that must not be accepted. */
function* hostile(token: string, seed: number): Generator<string> {
  const random = seededRandom(seed);
  const below = (limit: number) => Math.floor(random() * limit);
  const pick = <T>(from: readonly T[]): T => from[below(from.length)]!;
  const noise = (length: number) => Array.from({ length: below(length) }, () => pick(BYTES)).join("");
  const flip = (text: string): string => {
    const at = below(text.length);
    const other = pick(Array.from("abcXYZ019-_").filter((one) => one !== text[at]));
    return text.slice(0, at) + other + text.slice(at + 1);
  };
  const mutations: (() => string)[] = [
    () => `session=${flip(token)}`,
    () => `session=${token.slice(0, below(token.length))}`,
    () => `session=${token.slice(1 + below(token.length - 1))}`,
    () => `session=${token}${pick(["=", " ", "A", '"', "\t", "%20", ".", ","])}`,
    () => `session="${token}"`,
    () => `session=${token.toUpperCase()}; session=${token.toLowerCase()}`,
    () => `session= ${token}`,
    () => `${pick(["Session", "SESSION", "session ", "__Host-session", "__Secure-session", "xsession"])}=${token}`,
    () => Array.from({ length: 1 + below(60) }, () => `session=${flip(token)}`).join("; "),
    () => `session=${noise(8000)}`.slice(0, 8100),
    () => noise(300),
    () => `session=${encodeURIComponent(token)}%3D; __proto__=${token}; constructor=${token}`,
    () => `session=${Buffer.from(token).toString("base64url")}`,
  ];
  for (;;) {
    const header = pick(mutations)();
    // An HTTP parser removes the blanks after a header's value, so the rest may be the real cookie.
    if (!header.trimEnd().split(/; ?/).includes(`session=${token}`)) yield header;
  }
}

function take<T>(from: Generator<T>, count: number): T[] {
  return Array.from({ length: count }, () => from.next().value as T);
}

describe.each(ways)("sojourn for $name and hostile cookies", (way) => {
  it(`serves ${HOSTILE} of them the anonymous page and asks the store for nothing`, async () => {
    const { signedIn, visitor, origin, calls } = await serve(way);
    const { cookie } = await signedIn();
    const anonymous = await visitor().get("/");
    const { total } = calls;
    const answers = await Promise.all(
      take(hostile(cookie!.slice("session=".length), 11), HOSTILE).map(async (header) => {
        const { status, body, setCookies, headers } = await ask(`${origin}/`, {
          cookie: Buffer.from(header).toString("latin1"),
        });
        return { header, answer: { status, body, setCookies, vary: headers.vary, cache: headers["cache-control"] } };
      }),
    );
    const expected = { status: 200, body: anonymous.body, setCookies: [], vary: "Cookie", cache: undefined };
    const wrong = answers.filter(({ answer }) => JSON.stringify(answer) !== JSON.stringify(expected));
    expect(wrong).toEqual([]);
    expect(calls.total).toBe(total);
  });

  it(`bears ${RAW} with bytes that no client sends`, async () => {
    const { signedIn, port, calls } = await serve(way);
    const { cookie } = await signedIn();
    const { total } = calls;
    const random = seededRandom(12);
    const wrong: string[] = [];
    const headers = take(hostile(cookie!.slice("session=".length), 13), RAW);
    for (let from = 0; from < RAW; from += 50) {
      await Promise.all(
        headers.slice(from, from + 50).map(async (header) => {
          const at = Math.floor(random() * header.length);
          const control = CONTROLS[Math.floor(random() * CONTROLS.length)]!;
          const sent = header.slice(0, at) + control + header.slice(at);
          const request = `GET / HTTP/1.1\r\nHost: localhost\r\nCookie: ${sent}\r\nConnection: close\r\n\r\n`;
          const answer = await raw(port, request);
          const isAnonymous = answer.startsWith("HTTP/1.1 200 ") && answer.includes("anonymous");
          if (!isAnonymous && !/^HTTP\/1\.1 (?:400|431) /.test(answer)) wrong.push(`${sent}\n${answer}`);
          if (/set-cookie/i.test(answer)) wrong.push(answer);
        }),
      );
    }
    expect(wrong).toEqual([]);
    expect(calls.total).toBe(total);
  });

  it("finds the real cookie beside planted ones, and accepts neither of two real ones", async () => {
    const { signedIn, origin } = await serve(way);
    const [ada, eve] = [(await signedIn("ada")).cookie!, (await signedIn("eve")).cookie!];
    const page = async (cookie: string) => (await ask(`${origin}/`, { cookie })).body;
    expect(await page(`session=planted; ${ada}; session="planted"`)).toBe("signed in as ada");
    expect(await page(`${ada}; ${ada}`)).toBe("signed in as ada");
    expect(await page(`${eve}; ${ada}`)).toBe("anonymous");
  });

  it("accepts a token from the cookie only", async () => {
    const { signedIn, origin, calls } = await serve(way);
    const { cookie } = await signedIn();
    const token = cookie!.slice("session=".length);
    const { total } = calls;
    const headers = { authorization: `Bearer ${token}`, "x-session": token };
    expect((await ask(`${origin}/?${cookie}&sid=${token}`, { headers })).body).toBe("anonymous");
    expect(calls.total).toBe(total);
  });
});

describe.each(ways)("sojourn for $name behind a proxy", (way) => {
  const https: Asking = { headers: { "x-forwarded-proto": "https" } };
  const signIn = async ({ origin }: Scene, asking: Asking = {}) => {
    const { setCookies } = await ask(`${origin}/login`, { method: "POST", ...asking });
    return setCookies[0]!;
  };

  async function expectSecure(scene: Scene): Promise<void> {
    const line = await signIn(scene, https);
    expect(line).toMatch(/^__Host-session=1[\w-]{80}; Max-Age=\d+; Path=\/; Secure; HttpOnly; SameSite=Lax$/);
    const token = line.slice("__Host-session=".length, line.indexOf(";"));
    const page = async (name: string, headers = https.headers!) =>
      (await ask(`${scene.origin}/`, { headers, cookie: `${name}=${token}` })).body;
    expect(await page("__Host-session")).toBe("signed in as ada");
    expect(await page("session")).toBe("anonymous");
    expect(await page("__Host-session", {})).toBe("anonymous");
    expect(await signIn(scene)).toMatch(/^session=1[\w-]{80}; Max-Age=\d+; Path=\/; HttpOnly; SameSite=Lax$/);

    const { setCookies } = await ask(`${scene.origin}/logout`, { ...https, cookie: `__Host-session=${token}` });
    expect(setCookies).toEqual(["__Host-session=; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=Lax"]);
  }

  it("ignores the header by default", async () => {
    const scene = await serve(way);
    for (const headers of [https.headers!, { forwarded: "proto=https" }, { "x-forwarded-ssl": "on" }]) {
      expect(await signIn(scene, { headers })).toMatch(/^session=1[\w-]{80}; Max-Age=\d+; Path=\/; HttpOnly/);
    }
  });

  it("trusts the header with trustProxy", async () => {
    const scene = await serve(way, { options: { trustProxy: true } });
    await expect(expectSecure(scene)).resolves.toBeUndefined();
    expect(await signIn(scene, { headers: { forwarded: 'for=1.2.3.4;proto="https"' } })).toMatch(/^__Host-session=/);
    expect(await signIn(scene, { headers: { "x-forwarded-proto": "http, https" } })).toMatch(/^session=/);
  });

  const hasSetting = /Express|Fastify|Koa/.test(way.name);
  it.runIf(hasSetting)("believes it where the framework's own setting does", async () => {
    const scene = await serve(way, { trustProxy: true });
    await expect(expectSecure(scene)).resolves.toBeUndefined();
  });
});
