import { connect, createServer, type OutgoingHttpHeaders } from "node:http2";
import type { AddressInfo } from "node:net";
import { describe, expect, it, onTestFinished } from "vitest";
import { site } from "../../test/support/stores.ts";
import type { SessionStore } from "../store.ts";
import { memoryStore } from "../stores/memory.ts";
import { bearerTokens, type BearerOptions } from "./bearer.ts";
import { withSession } from "./node.ts";

/** A server of HTTP/2, and a client of one connection. */
async function application(options: BearerOptions = {}, store: SessionStore = memoryStore()) {
  const { sessions } = site({ store, clock: Date.now });
  const listener = withSession(
    sessions,
    (req, res, session) => {
      if (req.url === "/login") session.signIn("ada");
      if (req.url === "/logout") session.signOut();
      res.end(session.userId ?? "anonymous");
    },
    {
      bearer: bearerTokens(options),
      onError: (error, _req, res) => res.writeHead((error as { status: number }).status).end(),
    },
  );
  const server = createServer((req, res) => listener(req as never, res as never));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const client = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  onTestFinished(async () => {
    client.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
  const ask = (path: string, headers: OutgoingHttpHeaders = {}) =>
    new Promise<{ status: unknown; body: string; token: string; cookies: string[]; vary: unknown }>(
      (resolve, reject) => {
        const stream = client.request({ ":path": path, ...headers });
        let body = "";
        stream.setEncoding("utf8").on("data", (chunk: string) => (body += chunk));
        stream.once("error", reject).once("response", (given) => {
          stream.once("end", () =>
            resolve({
              status: given[":status"],
              body,
              token: String(given["session-token"] ?? ""),
              cookies: given["set-cookie"] ?? [],
              vary: given["vary"],
            }),
          );
        });
      },
    );
  return { sessions, ask };
}

const bearing = (token: string) => ({ authorization: `Bearer ${token}` });

describe("A bearer token over HTTP/2", () => {
  it.each([
    ["at once", memoryStore()],
    ["later", { ...memoryStore(), sync: undefined }],
  ])(
    "is given at the sign-in without a cookie, opens the session, and is invalid after the sign-out: a store that answers %s",
    async (_, store) => {
      const { ask } = await application({}, store);
      const signedIn = await ask("/login");
      expect(signedIn).toMatchObject({ status: 200, body: "ada", cookies: [], vary: "Authorization" });
      expect(await ask("/", bearing(signedIn.token))).toMatchObject({ body: "ada", token: "", cookies: [] });
      expect(await ask("/logout", bearing(signedIn.token))).toMatchObject({ status: 200, token: "", cookies: [] });
      expect(await ask("/", bearing(signedIn.token))).toMatchObject({ status: 200, body: "anonymous" });
    },
  );

  it("belongs to its own request, where many are under way in one connection", async () => {
    const { ask } = await application();
    const { token } = await ask("/login");
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, i) => ask("/", i % 2 === 0 ? bearing(token) : bearing(`${token}x`))),
    );
    expect(answers.map(({ body }) => body)).toEqual(answers.map((_, i) => (i % 2 === 0 ? "ada" : "anonymous")));
  });

  it("is refused beside an authentic cookie, in one Cookie header or in several", async () => {
    const { ask } = await application({ cookies: true });
    const [cookie] = (await ask("/login")).cookies.map((line) => line.split(";", 1)[0]!);
    const { token } = await ask("/login", bearing("none"));
    expect(token).not.toBe("");
    for (const cookies of [cookie!, ["theme=dark", cookie!]])
      expect(await ask("/", { ...bearing(token), cookie: cookies })).toMatchObject({
        status: 400,
        token: "",
        cookies: [],
      });
  });
});
