import { IncomingMessage } from "node:http";
import { Socket } from "node:net";
import { describe, expect, it } from "vitest";
import { begin, site } from "../test/support/stores.ts";
import { linkReplacement, type AnyRequest } from "./request/request.ts";

/** A request of node:http, which has its headers by a getter of its prototype. */
function incoming(cookie: string): IncomingMessage {
  const request = new IncomingMessage(new Socket());
  request.headers = { cookie };
  return request;
}

async function twoUsers() {
  const { browser, sessions } = site();
  const cookieOf = async (userId: string) => {
    const one = browser();
    await one.visit((session) => session.signIn(userId), { url: "http://shop.example/" });
    return one.cookie;
  };
  return { sessions, alices: await cookieOf("alice"), bobs: await cookieOf("bob") };
}

const withHeaders = (cookie: string) => ({ headers: { value: { cookie } } });

/** Ways to make a request with another cookie from one of Node's. */
const DERIVED: Record<string, (request: IncomingMessage, cookie: string) => object> = {
  "is spread": (request, cookie) => Object.assign({}, request, { socket: request.socket, headers: { cookie } }),
  "is copied with its prototype": (request, cookie) => {
    const copy = Object.assign(Object.create(IncomingMessage.prototype) as object, request);
    return Object.defineProperties(copy, withHeaders(cookie));
  },
  "is inherited from": (request, cookie) => Object.create(request, withHeaders(cookie)) as object,
  "is behind a Proxy": (request, cookie) =>
    new Proxy(request, {
      get: (target, name, receiver) => (name === "headers" ? { cookie } : Reflect.get(target, name, receiver)),
    }),
};

describe("The session of a request with other headers", () => {
  for (const [how, derive] of Object.entries(DERIVED)) {
    it(`is its own cookie's, where the request that has a session ${how}`, async () => {
      const { sessions, alices, bobs } = await twoUsers();
      const request = incoming(alices);
      const session = await sessions.open(request);
      session.data["n"] = 1;
      const derived = derive(request, bobs) as AnyRequest;
      const others = await sessions.open(derived);
      expect(others.userId).toBe("bob");
      expect(sessions.of(derived)).toBe(others);
      expect(await sessions.open(derived)).toBe(others);
      // Nor has the first one lost its session by it.
      expect(sessions.of(request)).toBe(session);
      expect(await sessions.open(request)).toBe(session);
    });

    it(`is its own cookie's, where it was opened before the request that ${how}`, async () => {
      const { sessions, alices, bobs } = await twoUsers();
      const request = incoming(alices);
      const derived = derive(request, bobs) as AnyRequest;
      const others = await sessions.open(derived);
      const session = await sessions.open(request);
      expect([others.userId, session.userId]).toEqual(["bob", "alice"]);
      expect(sessions.of(derived)).toBe(others);
      expect(sessions.of(request)).toBe(session);
    });
  }

  it("is its own cookie's, where it inherits from a request that a framework has replaced", async () => {
    const { sessions, alices, bobs } = await twoUsers();
    const [first, replacement] = [incoming(alices), incoming(alices)];
    linkReplacement(replacement, first);
    const session = await sessions.open(replacement);
    const derived = Object.create(replacement, withHeaders(bobs)) as AnyRequest;
    expect((await sessions.open(derived)).userId).toBe("bob");
    expect(sessions.of(first)).toBe(session);
    expect(sessions.of(replacement)).toBe(session);
  });

  it("is its own cookie's, where a visitor's request that has signed in since then is copied", async () => {
    const { sessions } = await twoUsers();
    const request = incoming("");
    (await sessions.open(request)).signIn("alice");
    const derived = Object.create(request, withHeaders("")) as AnyRequest;
    expect((await sessions.open(derived)).userId).toBe(undefined);
  });
});

describe("The session of a request that middleware has wrapped", () => {
  const wrappers: Record<string, (request: IncomingMessage) => object> = {
    "an object that inherits from it": (request) => Object.create(request) as object,
    "a Proxy": (request) => new Proxy(request, {}),
    "a copy with the same headers": (request) =>
      Object.assign({}, request, { socket: request.socket, headers: request.headers }),
    "an object that has it in its raw": (raw) => ({ raw, headers: raw.headers, socket: raw.socket }),
  };
  it.each(Object.keys(wrappers))("is the same in %s", async (how) => {
    const { sessions, alices } = await twoUsers();
    const request = incoming(alices);
    const session = begin(sessions, request);
    const wrapper = wrappers[how]!(request) as AnyRequest;
    expect(await sessions.open(wrapper)).toBe(session);
    expect(sessions.of(wrapper)).toBe(session);
    expect(sessions.of(request)).toBe(session);
  });

  it("is the same in a replacement of a framework, and in what inherits from that", async () => {
    const { sessions, alices } = await twoUsers();
    const [first, replacement] = [incoming(alices), incoming(alices)];
    const session = await sessions.open(first);
    linkReplacement(replacement, first);
    expect(sessions.of(replacement)).toBe(session);
    expect(sessions.of(Object.create(replacement) as AnyRequest)).toBe(session);
  });
});
