import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Browser, KEYS, START } from "../../test/support/stores.ts";
import { createSessions } from "../sessions.ts";
import { memoryStore } from "../stores/memory.ts";
import { Revocations } from "./revocations.ts";
import { cookieStore } from "./store.ts";

type Data = Record<string, unknown>;

function application() {
  const time = { now: START };
  const clock = () => time.now;
  const store = cookieStore({ revocations: memoryStore({ clock }) });
  const sessions = createSessions<Data>({ secretKey: KEYS[0], clock, store });
  return { time, sessions, browser: () => new Browser<Data>(sessions) };
}

/** Ends so many sessions of alice that their list has no room for those from before. */
async function fillList({ time, sessions }: ReturnType<typeof application>): Promise<void> {
  for (let count = 0; count < 1002; count++) {
    time.now += 1000;
    await sessions.revoke(`id ${count}`, { userId: "alice" });
  }
}

const LONGEST = 10_000_000;
const IDS = ["a", "b", "c", "d", "e"];
const id = fc.constantFrom(...IDS);
const operation = fc.oneof(
  fc.record({ kind: fc.constant("end" as const), id }),
  fc.record({ kind: fc.constant("rotate" as const), id, epoch: fc.integer({ min: 2, max: 4 }) }),
  fc.record({ kind: fc.constant("by id" as const), id }),
  fc.record({ kind: fc.constant("all" as const), id: fc.option(id, { nil: undefined }) }),
);

describe("A user's list of revocations that is full", () => {
  it("keeps a session ended that had been spared once and was signed out then", async () => {
    const app = application();
    const browser = app.browser();
    await browser.visit((session) => session.signIn("alice"));
    await browser.visit(async (session) => void (await app.sessions.revokeAll("alice", { except: session.id })));
    const copy = browser.copy();
    await browser.visit((session) => session.signOut());
    await fillList(app);
    expect(await copy.userId()).toBeUndefined();
  });

  it("keeps a cookie from before credentialsChanged() invalid", async () => {
    const app = application();
    const browser = app.browser();
    await browser.visit((session) => session.signIn("alice"));
    const copy = browser.copy();
    await browser.visit(async (session) => void (await app.sessions.credentialsChanged(session)));
    await fillList(app);
    expect(await copy.userId()).toBeUndefined();
    expect(await browser.userId()).toBe("alice");
  });

  it("never names less than before, whatever is ended in whatever order", async () => {
    const starts = fc.array(fc.integer({ min: START - 5, max: START }), { minLength: 5, maxLength: 5 });
    const property = fc.asyncProperty(starts, fc.array(operation, { maxLength: 12 }), async (begun, operations) => {
      let now = START;
      const clock = () => now;
      const revocations = new Revocations(memoryStore({ clock }), "session", LONGEST, 2);
      const candidates = IDS.flatMap((one, at) =>
        [1, 2, 3].map((epoch) => ({ id: one, userId: "alice", epoch, startedAt: begun[at]! })),
      );
      const named = async () => {
        const found = await Promise.all(candidates.map((one) => revocations.isRevoked(one)));
        return candidates.filter((_, at) => found[at]);
      };
      for (const one of operations) {
        const before = await named();
        now += 1;
        if (one.kind === "all") await revocations.revokeAll("alice", one.id, clock);
        else if (one.kind === "by id") await revocations.revokeId("alice", one.id, clock);
        else {
          const { startedAt } = candidates.find((candidate) => candidate.id === one.id)!;
          const epoch = one.kind === "rotate" ? one.epoch : undefined;
          const candidate = { id: one.id, userId: "alice", epoch: epoch ? epoch - 1 : Infinity, startedAt };
          await revocations.revoke(candidate, { id: one.id, epoch, startedAt, endsAt: now + LONGEST }, clock);
        }
        expect(await named()).toEqual(expect.arrayContaining(before));
      }
    });
    await fc.assert(property, { numRuns: 300 });
  });
});

describe("revokeAll of cookieStore with revocations", () => {
  it("brings no session back that had ended before, although it spares it", async () => {
    const { browser: begin, sessions, time } = application();
    const browser = begin();
    await browser.visit((session) => session.signIn("alice"));
    const { id: ended } = (await browser.begin()).session;
    await sessions.revokeAll("alice");
    time.now += 1000;
    await sessions.revokeAll("alice", { except: ended });
    expect(await browser.userId()).toBeUndefined();
  });
});
