import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import express from "express";
import { createSessions, type SessionStore } from "sojourn";
import { sessionMiddleware } from "sojourn/express";
import { expressStore } from "sojourn/express-session";
import { storeContract } from "sojourn/testing";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { expressStorePackages, type ExpressStoreWorld } from "../support/express-stores.ts";
import { Client } from "../support/http/client.ts";
import { SECRET_KEY } from "../support/http/servers.ts";
import { until } from "../support/throwaway.ts";

interface Data {
  items?: number[];
}

/** An application that signs in, keeps data and signs out. */
async function serve(store: SessionStore, storeTimeout: `${number}ms`) {
  const sessions = createSessions<Data>({ secretKey: SECRET_KEY, store, storeTimeout });
  const app = express().set("env", "test");
  app.use(sessionMiddleware(sessions));
  app.post("/sign-in", (req, res) => {
    sessions.of(req).signIn("ada");
    res.send("in");
  });
  app.post("/push/:item", (req, res) => {
    const { data } = sessions.of(req);
    data.items ??= [];
    data.items.push(Number(req.params.item));
    res.send("pushed");
  });
  app.get("/", (req, res) => {
    const { userId, data } = sessions.of(req);
    res.json({ userId, items: data.items });
  });
  app.post("/sign-out", (req, res) => {
    sessions.of(req).signOut();
    res.send("out");
  });
  const server: Server = createServer(app).listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    browser: () => new Client(`http://127.0.0.1:${(server.address() as AddressInfo).port}`),
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
      await sessions.close();
    },
  };
}

const page = async (client: Client) => JSON.parse((await client.get("/")).body);

for (const { name, isHere, lists, start } of expressStorePackages) {
  describe.skipIf(!isHere)(`expressStore over ${name}`, () => {
    let world: ExpressStoreWorld;
    beforeAll(async () => (world = await start()));
    afterAll(() => world?.stop());

    describe("the store contract", () => {
      const cases = storeContract(
        ({ clock }) => [expressStore(world.open(), { clock }), expressStore(world.open(), { clock })],
        { capabilities: lists ? ["idsOfUser", "all"] : [] },
      );
      it.each(cases)("$name", async ({ run }) => {
        await expect(run()).resolves.toBeUndefined();
      });
    });

    describe("the store contract between two processes", () => {
      const cases = storeContract(async ({ clock }) => {
        const options = { processes: "several", clock } as const;
        // Another copy of the module has a queue of its own, as another process has.
        vi.resetModules();
        const other = await import("../../src/express-session/express-store.ts");
        return [expressStore(world.open(), options), other.expressStore(world.open(), options)];
      }).filter(({ name: rule }) => rule.includes("outlast a delete"));
      it.each(cases)("$name", async ({ run }) => {
        await expect(run()).resolves.toBeUndefined();
      });
    });

    it("signs in and out, and a copy of the cookie is worth nothing then", async () => {
      await using application = await serve(expressStore(world.open()), "60000ms");
      const ada = application.browser();
      await ada.post("/push/1");
      await ada.post("/sign-in");
      expect(await page(ada)).toMatchObject({ userId: "ada", items: [1] });
      const thief = ada.twin();
      expect((await ada.post("/sign-out")).status).toBe(200);
      expect(await page(thief)).toEqual({});
      expect(await page(ada)).toEqual({});
    });

    it("keeps each of 200 concurrent changes of one session", async () => {
      await using application = await serve(expressStore(world.open()), "60000ms");
      const ada = application.browser();
      await ada.post("/sign-in");
      const answers = await Promise.all(Array.from({ length: 200 }, (_, n) => ada.post(`/push/${n}`)));
      expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
      const { items } = await page(ada);
      expect(new Set(items).size).toBe(200);
    });

    it("lets the engine remove a session a minute after its expiry", async () => {
      const store = expressStore(world.open());
      const id = "AAAAAAAAAAAAAAAAAAAAAA";
      const expiresAt = Date.now() + 3_600_000;
      await store.create(id, { payload: new Uint8Array(1), version: 1, expiresAt });
      const created = await world.expiryOf(id);
      expect(created).toBeGreaterThanOrEqual(expiresAt);
      expect(created).toBeLessThan(expiresAt + 120_000);
      await store.touch(id, expiresAt + 3_600_000);
      expect(await world.expiryOf(id)).toBeGreaterThanOrEqual(expiresAt + 3_600_000);
      await store.delete(id);
    });

    // The last one, for the engine fails here.
    it("answers 503 in an outage and signs nobody out", async () => {
      await using application = await serve(expressStore(world.open()), "3000ms");
      const ada = application.browser();
      await until("the sign-in", async () => (await ada.post("/sign-in")).status === 200);
      const cookie = ada.cookie;
      await world.engine.kill();
      for (const answer of [await ada.get("/"), await ada.post("/push/1"), await ada.post("/sign-out")]) {
        expect(answer.status).toBe(503);
        expect(answer.setCookies).toEqual([]);
      }
      await world.engine.restart();
      await until("the store is back", async () => (await ada.get("/")).status === 200);
      expect(ada.cookie).toBe(cookie);
      expect(await page(ada)).toMatchObject({ userId: "ada" });
    });
  });
}
