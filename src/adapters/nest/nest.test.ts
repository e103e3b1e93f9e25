import { UnauthorizedException, type CanActivate, type ExecutionContext } from "@nestjs/common";
import { randomBytes } from "node:crypto";
import { describe, expect, it } from "vitest";
import { createSessions } from "../../sessions.ts";
import { memoryStore } from "../../stores/memory.ts";
import { SignedIn, SojournModule, Sessions, withSession } from "./index.ts";

const sessions = createSessions({ secretKey: randomBytes(32), store: memoryStore() });

/** A request whose user has signed in, or a visitor's. */
async function requestOf(userId?: string) {
  const request = Object.assign(new Request("http://localhost/graphql", { headers: { accept: "text/html" } }), {
    session: {},
  });
  const session = await sessions.open(request);
  if (userId !== undefined) session.signIn(userId);
  request.session = session;
  return request;
}

/** The guard that a decorator puts on a method. */
function guardOf(decorator: MethodDecorator): CanActivate {
  const method = () => {};
  decorator({}, "method", { value: method });
  const [guard] = Reflect.getMetadata("__guards__", method) as CanActivate[];
  return guard!;
}

const contextOf = (type: string, ...args: unknown[]) =>
  ({
    getType: () => type,
    getArgByIndex: (index: number) => args[index],
    switchToHttp: () => ({ getRequest: () => args[0] }),
    switchToWs: () => ({ getClient: () => args[0] }),
  }) as unknown as ExecutionContext;

describe("SojournModule", () => {
  it("throws a TypeError for sessions that createSessions has not made", () => {
    const other = { ...sessions } as unknown as Sessions;
    expect(() => SojournModule.forRoot({ sessions: other })).toThrow(/createSessions\(\) of "sojourn" made/);
    expect(() => SojournModule.forRoot({} as never)).toThrow(TypeError);
  });

  it("throws a TypeError for an option that it does not have, and names those that it has", () => {
    const options = { sessions, secretKey: "x" } as never;
    expect(() => SojournModule.forRoot(options)).toThrow(/no option "secretKey".*csrf.*sessions/);
    const factory = { useClass: Object } as never;
    expect(() => SojournModule.forRootAsync(factory)).toThrow(/no option "useClass".*useFactory/);
  });
});

describe("SignedIn", () => {
  it("throws a TypeError in its own name for options that can't hold", () => {
    expect(() => SignedIn({ loginPage: "https://other.example" })).toThrow(/^SignedIn: loginPage is a path/);
    expect(() => SignedIn({ within: "soon" as never })).toThrow(/^SignedIn: within/);
    expect(() => SignedIn({ page: "/login" } as never)).toThrow(/^SignedIn has no option "page"/);
  });

  it.each([
    ["Apollo", (req: object) => ({ req })],
    ["Mercurius", (request: object) => ({ reply: { request } })],
  ])("guards a resolver of GraphQL by the session of the request in the context of %s", async (_, contextWith) => {
    const guard = guardOf(SignedIn({ loginPage: "/login" }));
    const ask = async (userId?: string) =>
      guard.canActivate(contextOf("graphql", {}, {}, contextWith(await requestOf(userId))));
    await expect(ask("ada")).resolves.toBe(true);
    await expect(ask()).rejects.toThrow(UnauthorizedException);
  });

  it("says how to mount the sessions where a request or a connection has none", async () => {
    const guard = guardOf(SignedIn());
    const ask = async (type: string) => guard.canActivate(contextOf(type, {}));
    await expect(ask("http")).rejects.toThrow(/import SojournModule\.forRoot/);
    await expect(ask("graphql")).rejects.toThrow(/import SojournModule\.forRoot/);
    await expect(ask("ws")).rejects.toThrow(/app\.useWebSocketAdapter\(withSession/);
  });
});

describe("withSession", () => {
  it("throws a TypeError for sessions that createSessions has not made, and for an unknown option", () => {
    const adapter = { create() {}, bindClientConnect() {}, bindMessageHandlers() {}, close() {} };
    const other = { ...sessions } as unknown as Sessions;
    expect(() => withSession(other, adapter)).toThrow(/must be what createSessions\(\)/);
    expect(() => withSession(sessions, adapter, { origin: "x" } as never)).toThrow(/no option "origin".*origins/);
  });
});
