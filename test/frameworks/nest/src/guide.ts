import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Module } from "@nestjs/common";
import { io } from "socket.io-client";
import { Sessions, SojournModule } from "sojourn/nest";
import { cookieFor } from "sojourn/testing";
import { createApp, listen, type Platform } from "./application.js";
import { cookieOf, newSessions, send, type Case } from "./case.js";
import { ChatGateway, useSockets } from "./guide/chat.gateway.js";

/** Loads an application of the guide, whose sessions are in files of their own. */
async function withFiles(check: () => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "sojourn-guide-"));
  const { TMPDIR } = process.env;
  Object.assign(process.env, { TMPDIR: folder, SECRET_KEY: randomBytes(32).toString("base64url") });
  try {
    await check();
  } finally {
    if (TMPDIR === undefined) delete process.env.TMPDIR;
    else process.env.TMPDIR = TMPDIR;
    await rm(folder, { recursive: true, force: true });
  }
}

/** The applications of docs/nest.md, on one of the platforms. */
export const guideCases = (platform: Platform): Case[] => [
  {
    name: "signs in, guards, lists and ends sessions, and ends an event stream at the sign-out",
    run: () =>
      withFiles(async () => {
        const { AppModule } = await import("./guide/app.module.js");
        const { url, close } = await listen(await createApp(platform, AppModule));
        const post = (path: string, headers: Record<string, string> = {}) =>
          fetch(url + path, {
            method: "POST",
            headers,
            body: new URLSearchParams({ username: "ada" }),
            redirect: "manual",
          });
        try {
          assert.equal((await post("/login", { "sec-fetch-site": "cross-site" })).status, 403);
          const login = await post("/login");
          assert.deepEqual([login.status, login.headers.get("location")], [303, "/account"]);
          let headers = { cookie: cookieOf(login) };
          assert.equal(await (await send(`${url}/account`, "GET", headers)).text(), "Hello ada");
          assert.equal(((await (await send(`${url}/devices`, "GET", headers)).json()) as unknown[]).length, 1);

          const changed = await post("/password", headers);
          assert.equal(changed.status, 201);
          headers = { cookie: cookieOf(changed) };
          const events = await fetch(`${url}/events`, { headers });
          assert.equal(events.status, 200);
          await post("/logout", headers);
          // It would never end otherwise.
          await events.text();
          assert.equal((await send(`${url}/account`, "GET", headers)).status, 401);
        } finally {
          await close();
        }
      }),
  },
  {
    name: "takes the secret key from ConfigService",
    run: () =>
      withFiles(async () => {
        const { ConfiguredModule } = await import("./guide/configured.module.js");
        const app = await createApp(platform, ConfiguredModule);
        assert.match(await cookieFor(app.get(Sessions), "ada"), /^session=/);
        await app.close();
      }),
  },
  {
    name: "gives the session to the gateway of the guide",
    async run() {
      const sessions = newSessions();
      @Module({ imports: [SojournModule.forRoot({ sessions })], providers: [ChatGateway] })
      class AppModule {}
      const app = await createApp(platform, AppModule);
      useSockets(app);
      const { url, close } = await listen(app);
      const socket = io(url, { extraHeaders: { cookie: await cookieFor(sessions, "ada") }, forceNew: true });
      assert.equal(await socket.emitWithAck("whoami", {}), "ada");
      socket.close();
      await close();
    },
  },
];
