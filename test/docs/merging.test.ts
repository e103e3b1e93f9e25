import { afterAll, describe, expect, it } from "vitest";
import { blocksOf, document, runBlock, workshop } from "../support/http/blocks.ts";

const blocks = blocksOf(document("docs/merging.md")).map((block, i) => ({ ...block, i: i + 1 }));
const place = workshop();
afterAll(place.clear);

/** Two requests of one session that has nothing in it. */
const TWO_REQUESTS = `
  import { createSessions } from "sojourn";
  import { memoryStore } from "sojourn/memory";
  declare module "sojourn" {
    interface SessionData {
      cart?: { items: string[] };
      address?: { street: string; city: string };
      visits?: number;
      step?: string;
      began?: boolean;
    }
  }
  const sessions = createSessions({ secretKey: process.env.SECRET_KEY, store: memoryStore() });
  const first = await sessions.open(new Request("https://shop.example/"));
  first.data.began = true;
  const response = await sessions.commit(first, new Response("ok"));
  const cookie = response.headers.getSetCookie()[0]!.split(";")[0]!;
  const open = () => sessions.open(new Request("https://shop.example/", { headers: { cookie } }));
  const [mine, other] = [await open(), await open()];
`;
/** Each block's own claims: the comment beside a \`console.log\`. */
const claimsOf = (code: string): string[] =>
  Array.from(code.matchAll(/console\.log\(.*\).*?; \/\/ (.*?)(?:: `.*)?$/gm), ([, claim = ""]) => claim);

describe("The page on merging", () => {
  it("says of each block of code how it is run", () => {
    expect(blocks.length).toBeGreaterThan(3);
    expect(blocks.filter(({ how }) => how !== "with two requests")).toEqual([]);
  });

  it("shows code whose types are right", async () => {
    expect(await place.typeErrors(blocks.map(({ code }) => `${TWO_REQUESTS}\n${code}`))).toBe("");
  });

  it.each(blocks)("shows code that prints what it says: block $i", async ({ code }) => {
    const { stdout, stderr } = await runBlock(place, `${TWO_REQUESTS}\n${code}`);
    const printed = stdout.replaceAll("'", '"').replace("[ ", "[").replace(" ]", "]").split("\n").filter(Boolean);
    expect(printed).toEqual(claimsOf(code));
    expect(stderr).toBe("");
  });
});
