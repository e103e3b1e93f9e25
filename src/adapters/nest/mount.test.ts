import type { HttpAdapterHost } from "@nestjs/core";
import Fastify, { type onRequestHookHandler } from "fastify";
import { expect, it } from "vitest";
import { site } from "../../../test/support/stores.ts";
import { cookieFor } from "../../testing/application.ts";
import { createMount } from "./mount.ts";

it("answers 500 where another hook of Nest on Fastify throws, with and without a session to be read", async () => {
  const { sessions } = site();
  const app = Fastify().get("/", () => "hello");
  const adapter = {
    getType: () => "fastify",
    getInstance: () => app,
    setOnRequestHook: (hook: onRequestHookHandler) => void app.addHook("onRequest", hook),
  };
  createMount(sessions, {})(adapter as unknown as HttpAdapterHost["httpAdapter"]);
  adapter.setOnRequestHook(() => {
    throw new Error("planned");
  });
  const cookie = await cookieFor(sessions, "ada");
  for (const headers of [{}, { cookie }]) {
    const response = await app.inject({ url: "/", headers });
    expect([response.statusCode, response.json()]).toMatchObject([500, { message: "planned" }]);
  }
});
