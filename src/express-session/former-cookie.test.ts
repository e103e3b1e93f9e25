import expressSession from "express-session";
import { describe, expect, it, vi } from "vitest";
import { SECRET, site, type Held } from "../../test/support/express-session.ts";
import { hmac } from "../interop/signatures.ts";
import type { SessionOptions } from "./index.ts";

const ID = "bVtT8HD9GAm1n-5WF2lPZgKkmCAFbpOk";
const VALUE = encodeURIComponent(`s:${ID}.${hmac("sha256", SECRET, ID).toString("base64").replace(/=+$/, "")}`);

function storeWith(id: string) {
  const store = new expressSession.MemoryStore();
  store.set(id, { cookie: { originalMaxAge: null }, name: "Ada" } as unknown as expressSession.SessionData);
  return store;
}

describe("a cookie that express-session has made", () => {
  const another = { secret: "another secret, which is as long as the one of before" };

  it.each<[string, SessionOptions, string | undefined]>([
    ["and that no secret has signed", { store: storeWith(ID), ...another }, "SOJOURN_FOREIGN_COOKIE"],
    ["and whose session the store does not have", { store: storeWith("x") }, "SOJOURN_UNKNOWN_SESSION"],
    ["and whose store is not given", {}, "SOJOURN_FORMER_STORE"],
    ["and that opens its session", { store: storeWith(ID) }, undefined],
    ["and that no secret has signed, in production", { ...another, diagnostics: false }, undefined],
  ])("%s", async (name, options, code) => {
    const warned = vi.spyOn(process, "emitWarning").mockImplementation(() => {});
    const routes = { "/": (req: Held, res: { send(body: string): void }) => res.send(String(req.session.name)) };
    const { visitor } = await site(routes, { name: name.replaceAll(/\W/g, ""), diagnostics: true, ...options });
    const cookie = `${name.replaceAll(/\W/g, "")}=${VALUE}`;
    const bodies: string[] = [];
    for (const client of [visitor(), visitor()]) bodies.push((await client.get("/", { cookie })).body);
    const codes = warned.mock.calls.map((call) => (call[1] as unknown as { code: string }).code);
    warned.mockRestore();
    expect(codes).toEqual(code ? [code] : []);
    expect(bodies[0]).toBe(name.includes("opens") ? "Ada" : "undefined");
  });
});
