import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { document, filesOf, serveBlock, workshop } from "../support/http/blocks.ts";
import { ask } from "../support/http/client.ts";

const page = document("docs/getting-started.md");
const files = filesOf(page);
const place = workshop();
afterAll(place.clear);

describe("the page for beginners", () => {
  let base: string;
  let close = () => {};
  const cookies = new Map<string, string>();
  beforeAll(async () => {
    for (const { name, code } of files) place.file(name, code);
    ({ base, close } = await serveBlock(place, "server.ts", files.at(-1)!.code));
  });
  afterAll(() => close());

  async function visit(path: string, form?: Record<string, string>) {
    const response = await fetch(base + path, {
      headers: { cookie: [...cookies].map((pair) => pair.join("=")).join("; ") },
      redirect: "manual",
      ...(form && { method: "POST", body: new URLSearchParams(form) }),
    });
    for (const line of response.headers.getSetCookie()) {
      const [, name = "", value = ""] = /^([^=]+)=([^;]*)/.exec(line)!;
      if (line.includes("Max-Age=0")) cookies.delete(name);
      else cookies.set(name, value);
    }
    return { to: response.headers.get("location"), text: await response.text() };
  }

  it("shows code whose types are right", async () => {
    const names = files.map(({ name }) => name);
    expect(names).toEqual(["sessions.ts", "users.ts", "server.ts"]);
    expect(await place.typeErrors([], names)).toBe("");
  });

  it("has an application that refuses a wrong password, signs in, counts visits, and signs out", async () => {
    const guarded = await ask(`${base}/account`, { headers: { accept: "text/html" } });
    expect(guarded.headers.location).toMatch(/^\/login/);
    expect(await visit("/login", { name: "ada", password: "wrong" })).toMatchObject({ to: "/login" });
    expect((await visit("/login")).text).toContain("Name or password is wrong.");
    expect(await visit("/login", { name: "ada", password: "correct horse" })).toMatchObject({ to: "/account" });
    expect((await visit("/")).text).toContain("Hello ada!");
    expect((await visit("/account")).text).toContain("Visits: 1");
    expect((await visit("/account")).text).toContain("Visits: 2");
    const kept = new Map(cookies);
    expect(await visit("/logout", {})).toMatchObject({ to: "/" });
    expect(cookies.size).toBe(0);
    for (const [name, value] of kept) cookies.set(name, value);
    expect((await visit("/")).text).toContain("You are not logged in.");
  });
});
