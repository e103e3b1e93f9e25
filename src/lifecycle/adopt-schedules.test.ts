import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { KEYS, START } from "../../test/support/stores.ts";
import type { FormerSession, FormerSessions } from "../former.ts";
import { createSessions, type Sessions } from "../sessions.ts";
import type { SessionStore } from "../store.ts";
import { memoryStore } from "../stores/memory.ts";

type Action = "visit" | "visit and write" | "sign out" | "revoke all" | "sign in again";
type Fate = "ok" | "fails" | "fails after its effect";

interface Scenario {
  readonly actions: readonly { readonly action: Action; readonly process: number }[];
  /** The fates of the calls of the stores, in the order in which they are made. */
  readonly fates: readonly Fate[];
}

const scenarios: fc.Arbitrary<Scenario> = fc.record({
  actions: fc.array(
    fc.record({
      action: fc.constantFrom<Action[]>("visit", "visit", "visit and write", "sign out", "revoke all", "sign in again"),
      process: fc.nat(1),
    }),
    { minLength: 2, maxLength: 5 },
  ),
  fates: fc.array(fc.constantFrom<Fate[]>("ok", "ok", "ok", "ok", "fails", "fails after its effect"), {
    minLength: 5,
    maxLength: 20,
    size: "max",
  }),
});

/** Carries out a schedule of two processes, and tells what its requests have seen. */
async function carryOut({ actions, fates }: Scenario, scheduler: fc.Scheduler) {
  const backend: SessionStore = { ...memoryStore({ clock: () => START }), inProcess: false };
  const former = new Map<string, FormerSession>([["one", { userId: "ada", data: {} }]]);
  let isScheduled = true;
  let calls = 0;
  /** Any other call may come before it takes effect, and before its answer is there. */
  async function through<T>(name: string, effect: () => Promise<T>): Promise<T> {
    if (!isScheduled) return effect();
    const fate = fates[calls++] ?? "ok";
    await scheduler.schedule(Promise.resolve(), `${name} goes`);
    if (fate === "fails") throw new Error("fails");
    const result = await effect();
    await scheduler.schedule(Promise.resolve(), `${name} comes back`);
    if (fate !== "ok") throw new Error(fate);
    return result;
  }
  const store: SessionStore = {
    ...backend,
    read: (id) => through("read", () => backend.read(id)),
    create: (id, stored) => through("create", () => backend.create(id, stored)),
    update: (id, stored, version) => through("update", () => backend.update(id, stored, version)),
    touch: (id, expiresAt) => through("touch", () => backend.touch(id, expiresAt)),
    delete: (id) => through("delete", () => backend.delete(id)),
    idsOfUser: (userId) => through("list", () => backend.idsOfUser!(userId)),
  };
  const source: FormerSessions = {
    name: "old",
    cookies: [{ name: "old" }],
    find: (valuesOf) => valuesOf("old").map((key) => ({ key })),
    read: ({ key }) => through("former read", async () => former.get(key)),
    end: (key) => through("former end", async () => void former.delete(key)),
  };
  const processes = [0, 1].map(() =>
    createSessions<{ n?: number }>({
      secretKey: KEYS[0],
      store,
      adopt: [source],
      storeTimeout: "60s",
      clock: () => START,
    }),
  );

  const request = () => new Request("https://shop.example/", { headers: { cookie: "old=one" } });
  type Outcome = { readonly userId: string | undefined; readonly id: string; readonly failed: boolean };
  async function visit(sessions: Sessions<{ n?: number }>, action: Action): Promise<Outcome> {
    const seen = { userId: undefined as string | undefined, id: "", failed: false };
    try {
      const session = await sessions.open(request());
      Object.assign(seen, { userId: session.userId, id: session.id });
      if (action === "visit and write") session.update("n", (n = 0) => n + 1);
      if (action === "sign out") session.signOut();
      if (action === "sign in again" && session.userId !== undefined) session.signIn("ada");
      await sessions.commit(session, new Response());
    } catch {
      seen.failed = true;
    }
    return seen;
  }

  const outcomes = Promise.all(
    actions.map(async ({ action, process }) => {
      const sessions = processes[process]!;
      if (action !== "revoke all") return { action, ...(await visit(sessions, action)) };
      const failed = await sessions.revokeAll("ada").then(
        () => false,
        () => true,
      );
      return { action, failed, userId: undefined, id: "" };
    }),
  );
  const seen = await scheduler.waitFor(outcomes);
  isScheduled = false;
  // A client that was told of a failure tries again, in either process.
  const later = [await visit(processes[0]!, "visit"), await visit(processes[1]!, "visit")];
  return { seen, later, former };
}

describe("The adoption of one former session, in every schedule of two processes and failing calls", () => {
  it("gives one session, keeps the user signed in through failures, and never undoes an end", async () => {
    const property = fc.asyncProperty(scenarios, fc.scheduler(), async (scenario, scheduler) => {
      const { seen, later, former } = await carryOut(scenario, scheduler);
      const isEnd = ({ action }: { action: Action }) => action === "sign out" || action === "revoke all";
      const signedIn = seen.filter(({ userId }) => userId !== undefined);
      expect(new Set(signedIn.map(({ id }) => id)).size).toBeLessThanOrEqual(1);

      // A sign-out of a visitor ends nothing. A sign-in again makes the former cookie worthless.
      const hasEnded = seen.some(
        ({ action, userId, failed }) =>
          !failed && (action === "revoke all" || (action === "sign out" && userId !== undefined)),
      );
      const hasMoved = seen.some(({ action, userId, failed }) => !failed && action === "sign in again" && userId);
      for (const { userId, failed } of later) {
        expect(failed).toBe(false);
        if (hasEnded || hasMoved) expect(userId).toBeUndefined();
      }
      const mayHaveEnded = seen.some((one) => isEnd(one) || one.action === "sign in again");
      if (!mayHaveEnded) {
        for (const { userId, id } of later) {
          expect(userId).toBe("ada");
          if (signedIn[0]) expect(id).toBe(signedIn[0].id);
        }
        expect(former.size).toBe(1);
      }
      const signOut = seen.find(
        ({ action, userId, failed }) => action === "sign out" && !failed && userId !== undefined,
      );
      if (signOut && !hasMoved) expect(former.size).toBe(0);
    });
    await fc.assert(property, { numRuns: 400 });
  });
});
