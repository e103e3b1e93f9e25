import { afterAll, describe, expect, it, vi } from "vitest";
import type { Express } from "express";
import { DIFFERENCES } from "../../scripts/express-session-suite.mjs";
import { document, filesOf, workshop } from "../support/http/blocks.ts";
import { Client } from "../support/http/client.ts";
import { originFor, SECRET_KEY } from "../support/http/servers.ts";

const page = document("docs/express-session.md");
const differences = document("docs/express-session-differences.md");
const place = workshop();
afterAll(place.clear);

/** The members of a type, in the page of the API. */
function membersOf(type: string): string[] {
  const section = document("docs/api/express-session.md").split(`\n## ${type}\n`)[1]!.split("\n## ")[0]!;
  return Array.from(section.matchAll(/^\| `(\w+)\??` \|/gm), ([, name]) => name!);
}

describe("the guide to the drop-in", () => {
  it("shows an application that signs a user in and out, and compiles", async () => {
    const [{ name, code }] = filesOf(page) as [{ name: string; code: string }];
    const path = place.file(name, code);
    expect(await place.typeErrors([], [name])).toBe("");
    vi.stubEnv("SECRET_KEY", SECRET_KEY);
    const { app } = (await import(path)) as { app: Express };
    vi.unstubAllEnvs();
    const ada = new Client(await originFor(app));
    expect((await ada.get("/")).body).toBe("Hello stranger");
    expect(await ada.post("/login")).toMatchObject({ status: 302 });
    expect((await ada.get("/")).body).toBe("Hello ada");
    const copy = ada.twin();
    await ada.post("/logout");
    expect([ada.cookie, (await copy.get("/")).body]).toEqual([undefined, "Hello stranger"]);
  });

  it("has a row or a word for each option, each attribute of the cookie and each method", () => {
    const names = [...membersOf("SessionOptions"), ...membersOf("CookieSettings"), ...membersOf("Session")];
    expect(names.length).toBeGreaterThan(25);
    const core = new Set(Array.from(document("docs/options.md").matchAll(/`(\w+)`/g), ([, name]) => name));
    expect(names.filter((name) => !page.includes(`\`${name}\``) && !core.has(name))).toEqual([]);
  });

  it("names each difference for which a test of express-session fails", () => {
    const reasons = [...new Set(Object.values(DIFFERENCES))];
    expect(reasons.filter((reason) => !differences.includes(reason.replace(/\.$/, "")))).toEqual([]);
    const count = Object.keys(DIFFERENCES).length;
    expect(differences).toContain(`Of 160 tests, ${160 - count} pass.`);
  });
});
