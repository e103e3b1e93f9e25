import express from "express";
import { createSessions, type Sessions } from "sojourn";
import { sessionMiddleware as onExpress } from "sojourn/express";
import { memoryStore } from "sojourn/memory";
import { beforeEach, describe, expect, it } from "vitest";
import { Client } from "../support/http/client.ts";
import { originFor, SECRET_KEY } from "../support/http/servers.ts";

let sessions: Sessions;
beforeEach(() => {
  sessions = createSessions({ secretKey: SECRET_KEY, store: memoryStore() });
});

describe("sojourn for Express with two kinds of sessions, of which one is mounted again", () => {
  it("gives each route the session of the mount nearest to it, and each cookie once", async () => {
    const others = createSessions({ secretKey: SECRET_KEY, store: memoryStore(), cookie: { name: "other" } });
    const app = express().use(onExpress(sessions), onExpress(others), onExpress(sessions));
    app.get("/", (req, res) => {
      req.session.data["n"] = 1;
      others.of(req).data["n"] = 1;
      res.send(String((req.session as unknown) === sessions.of(req)));
    });
    const { body, setCookies } = await new Client(await originFor(app)).get("/");
    const names = setCookies.map((line) => line.split("=")[0]);
    expect([body, names.length, new Set(names)]).toEqual(["true", 2, new Set(["other", "session"])]);
  });
});

describe("the options of an adapter", () => {
  it("stay as they were when it was created", async () => {
    const options: { lazy: boolean; passive?: () => boolean } = { lazy: false };
    const app = express().use(onExpress(sessions, options));
    options.lazy = true;
    options.passive = () => {
      throw new Error("never asked");
    };
    app.get("/", (req, res) => void res.send(req.session.userId ?? "nobody"));
    app.post("/login", (req, res) => {
      req.session.signIn("ada");
      res.end();
    });
    const client = new Client(await originFor(app));
    await client.post("/login");
    expect((await client.get("/")).body).toBe("ada");
  });
});
