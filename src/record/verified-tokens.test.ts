import { describe, expect, it } from "vitest";
import { VerifiedTokens } from "./verified-tokens.ts";

const verified = { id: "id", tokenByPreviousKey: false, secretHash: new Uint8Array(16) };

/** Counts the checks, which succeed for tokens that begin with "good". */
function counted() {
  const tokens = new VerifiedTokens();
  let checks = 0;
  const find = (token: string) =>
    tokens.find(token, () => {
      checks += 1;
      return token.startsWith("good") ? verified : undefined;
    });
  return { find, checksOf: (token: string) => ((checks = 0), find(token), checks) };
}

describe("VerifiedTokens", () => {
  it("checks a token once", () => {
    const { find, checksOf } = counted();
    expect(find("good")).toBe(verified);
    expect(checksOf("good")).toBe(0);
    expect(find("good")).toBe(verified);
  });

  it("checks a token that was refused each time", () => {
    const { checksOf } = counted();
    expect(checksOf("bad")).toBe(1);
    expect(checksOf("bad")).toBe(1);
  });

  it("takes no token for another one", () => {
    const { find, checksOf } = counted();
    find("good");
    for (const other of ["goo", "good ", "Good", "good\0", "gooe", ""]) expect(checksOf(other)).toBe(1);
  });

  it("remembers 4096 tokens, those in use among many others too, and at most twice as many", () => {
    const { find, checksOf } = counted();
    for (let i = 0; i < 4096; i += 1) find(`good ${i}`);
    for (let i = 0; i < 4096; i += 1) expect(checksOf(`good ${i}`)).toBe(0);
    for (let i = 4096; i < 20_000; i += 1) {
      find(`good ${i}`);
      if (i % 1000 === 0) expect(checksOf("good 0"), `after ${i}`).toBe(0);
    }
    const known = Array.from({ length: 20_000 }, (_, i) => i).filter((i) => checksOf(`good ${19_999 - i}`) === 0);
    expect(known.length).toBeLessThanOrEqual(8192);
  });
});
