import { describe, expect, it } from "vitest";
import { session } from "../express-session/index.ts";
import { expressSession } from "./express-session.ts";
import { fastifySession } from "./fastify-session.ts";
import { koaSession } from "./koa-session.ts";

describe("a client of Redis in place of a store", () => {
  const nothing = () => Promise.resolve(undefined);
  // As those of node-redis and of ioredis have.
  const store = { get: nothing, set: nothing, destroy: nothing, sendCommand: nothing, subscribe: nothing };

  it.each([
    ["expressSession", () => expressSession({ secret: "secret", store })],
    ["fastifySession", () => fastifySession({ secret: "secret", store })],
    ["koaSession", () => koaSession({ keys: "key", store })],
    ["session", () => session({ secret: "secret", store: store as never })],
  ])("is refused by %s when the application is built", (_, make) => {
    expect(make).toThrow("this is a client of Redis: give ");
  });
});
