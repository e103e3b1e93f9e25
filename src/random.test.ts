import { afterEach, describe, expect, it, vi } from "vitest";
import { KEYS } from "../test/support/stores.ts";
import { createKeyring } from "./record/keyring.ts";
import { freshBytes, createRandomPart } from "./random.ts";

/** Imitates two machines that were restored from one snapshot: the generator returns the same bytes to both. */
const cloned = vi.hoisted(() => ({ is: false, draws: 0 }));
vi.mock("node:crypto", async (importActual) => {
  const actual = await importActual<typeof import("node:crypto")>();
  const randomFillSync = (buffer: Buffer, offset = 0, size = buffer.length - offset) => {
    cloned.draws += 1;
    return cloned.is ? buffer.fill(7, offset, offset + size) : actual.randomFillSync(buffer, offset, size);
  };
  return { ...actual, randomFillSync };
});

afterEach(() => {
  cloned.is = false;
  vi.restoreAllMocks();
});

const many = (make: () => Buffer) => new Set(Array.from({ length: 10_000 }, () => make().toString("hex")));

describe("freshBytes", () => {
  it("returns the requested number of bytes, never the same twice", () => {
    for (const size of [1, 12, 16, 32]) expect(freshBytes(size)).toHaveLength(size);
    expect(many(() => freshBytes(12)).size).toBe(10_000);
  });

  it("gives each caller bytes of its own", () => {
    const first = freshBytes(16);
    const text = first.toString("hex");
    freshBytes(16);
    createRandomPart();
    expect(first.toString("hex")).toBe(text);
  });

  it("gives two clones different bytes, although the system's generator is the same in both", () => {
    cloned.is = true;
    expect(many(() => freshBytes(16)).size).toBe(10_000);
  });

  it("uses no bytes of the system's generator twice", () => {
    // The clone's bytes of the test before are thrown away.
    vi.spyOn(performance, "now").mockReturnValue(1e8);
    vi.spyOn(process.hrtime, "bigint").mockReturnValue(1n);
    vi.spyOn(Date, "now").mockReturnValue(2);
    expect(many(() => freshBytes(16)).size).toBe(10_000);
  });

  it("draws on the system's generator for 64 values, and anew after a second", () => {
    const now = vi.spyOn(performance, "now").mockReturnValue(1e9);
    freshBytes(16);
    cloned.draws = 0;
    for (let n = 0; n < 64; n += 1) freshBytes(16);
    expect(cloned.draws).toBe(1);
    now.mockReturnValue(1e9 + 1000);
    freshBytes(16);
    expect(cloned.draws).toBe(2);
    freshBytes(16);
    expect(cloned.draws).toBe(2);
  });
});

describe("randomPart", () => {
  it("gives 22 characters of base64url, 100,000 times different", () => {
    const parts = Array.from({ length: 100_000 }, createRandomPart);
    expect(new Set(parts).size).toBe(parts.length);
    expect(parts.every((part) => /^[\w-]{22}$/.test(part))).toBe(true);
  });

  it("has every character in every place: all 128 bits are random", () => {
    const parts = Array.from({ length: 20_000 }, createRandomPart);
    for (let place = 0; place < 21; place++) {
      expect(new Set(parts.map((part) => part[place])).size, `place ${place}`).toBe(64);
    }
    // Two of the last character's bits are left of 128.
    expect(new Set(parts.map((part) => part[21])).size).toBe(4);
  });
});

describe("Keyring.encrypt", () => {
  const nonceOf = (encrypted: Uint8Array) => Buffer.from(encrypted).toString("hex", 5, 17);

  it("never uses a nonce for two records, although generator and time are the same in two clones", async () => {
    cloned.is = true;
    vi.spyOn(process.hrtime, "bigint").mockReturnValue(1n);
    vi.spyOn(Date, "now").mockReturnValue(2);
    /** The next nonce of a process that was copied right after its start. */
    const inClone = async (text: string, id = "id") => {
      vi.resetModules();
      const { createKeyring: make } = await import("./record/keyring.ts");
      return nonceOf(make(KEYS[0], "session").encrypt(id, Buffer.from(text)));
    };
    expect(await inClone("one")).toBe(await inClone("one"));
    expect(await inClone("one")).not.toBe(await inClone("two"));
    // Sessions of one group share a key.
    expect(await inClone("one")).not.toBe(await inClone("one", "id of the same group"));
  });

  it("never repeats a nonce in one process, although the generator and the time stand still and the record is the same", () => {
    cloned.is = true;
    vi.spyOn(process.hrtime, "bigint").mockReturnValue(1n);
    vi.spyOn(Date, "now").mockReturnValue(2);
    const { encrypt } = createKeyring(KEYS[0], "session");
    expect(new Set(Array.from({ length: 1000 }, () => nonceOf(encrypt("id", Buffer.from("one"))))).size).toBe(1000);
  });

  it("uses other nonces in another process, at the same time and for the same record", async () => {
    vi.spyOn(process.hrtime, "bigint").mockReturnValue(1n);
    vi.spyOn(Date, "now").mockReturnValue(2);
    const inProcess = async () => {
      vi.resetModules();
      const { createKeyring: make } = await import("./record/keyring.ts");
      return nonceOf(make(KEYS[0], "session").encrypt("id", Buffer.from("one")));
    };
    expect(await inProcess()).not.toBe(await inProcess());
  });
});
