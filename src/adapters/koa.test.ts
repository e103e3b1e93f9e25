import { once } from "node:events";
import type { AddressInfo } from "node:net";
import Koa from "koa";
import { expect, it, onTestFinished } from "vitest";
import { site } from "../../test/support/stores.ts";
import { sessionMiddleware } from "./koa.ts";

it("keeps the cookie of a client out of an error that the application throws for others too", async () => {
  const { sessions } = site();
  const busy = Object.assign(new Error("busy"), { status: 429, expose: true });
  const app = new Koa();
  app.silent = true;
  app.use(({ query, response }, next) => {
    if (query["visitor"]) response.set("Set-Cookie", `visitor=${String(query["visitor"])}`);
    return next();
  });
  const passive = () => {
    throw busy;
  };
  app.use(sessionMiddleware(sessions, { passive }));
  const server = app.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => void server.close());
  const ask = (path: string) => fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`);
  const first = await ask("/?visitor=1");
  expect([first.status, first.headers.getSetCookie()]).toEqual([429, ["visitor=1"]]);
  const other = await ask("/");
  expect([other.status, other.headers.getSetCookie(), other.headers.get("cache-control")]).toEqual([
    429,
    [],
    "no-store",
  ]);
  expect(busy).not.toHaveProperty("headers");
});
