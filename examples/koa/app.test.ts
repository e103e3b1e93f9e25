import { randomBytes } from "node:crypto";
import { createSessions } from "sojourn";
import { memoryStore } from "sojourn/memory";
import request from "supertest";
import { expect, it } from "vitest";
import { createApp, type Data } from "./app.ts";

function browser() {
  const sessions = createSessions<Data>({ secretKey: randomBytes(32), store: memoryStore() });
  const app = createApp(sessions).on("error", () => {});
  return request.agent(app.callback());
}

it("logs in, shows the name, logs out, and says so once", async () => {
  const client = browser();
  expect((await client.get("/")).text).toContain("You are not logged in");
  const login = await client.post("/login").send("username=%3Cb%3EAda");
  expect([login.status, login.headers["location"]]).toEqual([303, "/"]);
  expect((await client.get("/")).text).toContain("The login username is: &lt;b&gt;Ada");
  expect((await client.post("/logout")).status).toBe(303);
  expect((await client.get("/")).text).toContain("You have been logged out.");
  const page = await client.get("/");
  expect(page.text).toContain("You are not logged in");
  expect(page.text).not.toContain("You have been logged out.");
});

it("sends a visitor of the account to the login page, and back", async () => {
  const client = browser();
  const asked = await client.get("/account").set("Accept", "text/html").set("Sec-Fetch-Mode", "navigate");
  expect(asked.status).toBe(303);
  const login = await client.post(asked.headers["location"]!).send("username=Ada");
  expect(login.headers["location"]).toBe("/account");
  expect((await client.get("/account")).text).toContain("The account of Ada");
});

it("refuses an empty name, and a form of another site", async () => {
  const client = browser();
  expect((await client.post("/login").send("username=+")).status).toBe(400);
  const foreign = await client.post("/login").set("Sec-Fetch-Site", "cross-site").send("username=Eve");
  expect(foreign.status).toBe(403);
  expect((await client.get("/")).text).toContain("You are not logged in");
});
