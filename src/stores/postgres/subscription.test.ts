import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, it, vi } from "vitest";
import { until } from "../../../test/support/throwaway.ts";
import type { Ears, Listening } from "./client.ts";
import { postgresSubscription } from "./subscription.ts";

setFlagsFromString("--expose-gc");

/** A database without a server: what is announced is heard, unless something is wrong. */
function stage({ heals = false, pings = true } = {}) {
  const state = {
    opened: 0,
    ended: 0,
    announced: 0,
    deaf: false,
    refusing: false,
    /** What opening, and ending, wait for. */
    gate: Promise.resolve(),
    ears: undefined as Ears | undefined,
  };
  const connection = {
    reserve: () => () => {},
    async listen(_channel: string, ears: Ears): Promise<Listening> {
      if (state.refusing) throw new Error("refused");
      await state.gate;
      state.opened += 1;
      state.ears = ears;
      return {
        heals,
        ...(pings && { ping: () => (state.deaf ? new Promise<never>(() => {}) : Promise.resolve()) }),
        async end() {
          state.ended += 1;
        },
      };
    },
  };
  const announce = async (text: string): Promise<void> => {
    state.announced += 1;
    if (!state.deaf) state.ears?.heard(text);
  };
  const feed = postgresSubscription({ channel: "c", connection, announce, interval: 30 });
  const states: boolean[] = [];
  return { state, feed, states, listening: (is: boolean) => void states.push(is) };
}

describe("postgresFeed", () => {
  it("listens on one connection for all, from the first who wants to hear to the last", async () => {
    const { state, feed, states, listening } = stage();
    const [one, other]: string[][] = [[], []];
    const first = feed.subscribe({ ended: (id) => one!.push(id), listening });
    const second = feed.subscribe({ ended: (id) => other!.push(id) });
    await until("it listens", () => states.at(-1) === true);
    const late: boolean[] = [];
    const third = feed.subscribe({ listening: (is) => late.push(is) });
    expect(late).toEqual([true]);
    state.ears?.heard("-a\\u00e9");
    state.ears?.heard("*b");
    expect([one, other]).toEqual([["aé"], ["aé"]]);
    expect(state.opened).toBe(1);
    first();
    first();
    state.ears?.heard("-c");
    expect(other).toEqual(["aé", "c"]);
    second();
    third();
    expect(state.ended).toBe(1);
    state.ears?.heard("-d");
    expect(other).toEqual(["aé", "c"]);
  });

  it("says so at each loss and return, and gets another connection", async () => {
    const { state, feed, states, listening } = stage();
    feed.subscribe({ listening });
    await until("it listens", () => states.at(-1) === true);
    state.refusing = true;
    state.ears?.lost();
    await until("it does not", () => states.at(-1) === false);
    state.refusing = false;
    await until("it listens again", () => states.at(-1) === true);
    expect(states).toEqual([false, true, false, true]);
    expect([state.opened, state.ended]).toEqual([2, 1]);
    await feed.close();
    expect(state.ended).toBe(2);
  });

  it("notices a connection that has fallen silent", async () => {
    const { state, feed, states, listening } = stage();
    feed.subscribe({ listening });
    await until("it listens", () => states.at(-1) === true);
    state.deaf = true;
    await until("it does not", () => states.at(-1) === false);
    expect(states).toEqual([false, true, false]);
    await feed.close();
  });

  it("listens for its echo where the client can't be asked, and keeps one that mends itself", async () => {
    const { state, feed, states, listening } = stage({ heals: true, pings: false });
    feed.subscribe({ listening });
    await until("it listens", () => states.at(-1) === true);
    state.deaf = true;
    await until("it does not", () => states.at(-1) === false);
    state.deaf = false;
    await until("it listens again", () => states.at(-1) === true);
    expect([state.opened, state.ended]).toEqual([1, 0]);
    await feed.close();
    expect(state.ended).toBe(1);
  });

  it("says that it doesn't hear where its echo doesn't come, and warns once", async () => {
    const warn = vi.spyOn(process, "emitWarning").mockImplementation(() => {});
    try {
      const { state, feed, states, listening } = stage();
      state.deaf = true;
      feed.subscribe({ listening });
      await until("it has tried again", () => state.opened > 2);
      expect(states).toEqual([false]);
      expect(warn).toHaveBeenCalledTimes(1);
      expect(warn.mock.calls[0]?.[0]).toMatch(/direct connection/);
      await feed.close();
    } finally {
      warn.mockRestore();
    }
  });

  it("ends a connection that comes after the last listener has gone", async () => {
    const { state, feed } = stage();
    feed.subscribe({})();
    await until("it is ended", () => state.ended === 1);
    expect([state.opened, state.announced]).toEqual([1, 0]);
  });

  it("goes on, and tells the others, where a listener throws", async () => {
    const warn = vi.spyOn(process, "emitWarning").mockImplementation(() => {});
    try {
      const { state, feed, states, listening } = stage();
      const heard: string[] = [];
      const broken = (): never => {
        throw new Error("broken");
      };
      feed.subscribe({ ended: broken, changed: broken, listening: broken });
      const note = (id: string): void => void heard.push(id);
      feed.subscribe({ ended: note, changed: note, listening });
      await until("it listens", () => states.at(-1) === true);
      state.ears?.heard("-a");
      state.ears?.heard("*b");
      state.ears?.lost();
      await until("it listens again", () => states.length === 4);
      expect(states).toEqual([false, true, false, true]);
      expect(heard).toEqual(["a", "b"]);
      expect(warn.mock.calls.map(([error]) => String(error))).toEqual(Array(6).fill("Error: broken"));
      await feed.close();
    } finally {
      warn.mockRestore();
    }
  });

  it("hears with a listener's own this, and of a class", async () => {
    const { state, feed } = stage();
    class Noting {
      heard: string[] = [];
      ended(id: string): void {
        this.heard.push(id);
      }
    }
    const noting = new Noting();
    feed.subscribe(noting);
    await until("it is open", () => state.ears !== undefined);
    state.ears?.heard("-a");
    expect(noting.heard).toEqual(["a"]);
    await feed.close();
  });

  it("is closed when a connection that was being opened is ended, and waits no longer than a second", async () => {
    const { state, feed } = stage();
    let open!: () => void;
    state.gate = new Promise((resolve) => (open = resolve));
    feed.subscribe({});
    let isClosed = false;
    const closing = feed.close().then(() => (isClosed = true));
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(isClosed).toBe(false);
    open();
    await closing;
    expect([state.opened, state.ended]).toEqual([1, 1]);

    state.gate = new Promise(() => {});
    feed.subscribe({});
    await feed.close();
    expect(state.opened).toBe(1);
  });

  it("keeps nothing of the looks that it has taken", async () => {
    const gc = runInNewContext("gc") as () => void;
    let ears: Ears | undefined;
    const looks: WeakRef<object>[] = [];
    const feed = postgresSubscription({
      channel: "c",
      interval: 1,
      connection: {
        reserve: () => () => {},
        async listen(_channel, given) {
          ears = given;
          const ping = (): Promise<object> => {
            const answer = {};
            looks.push(new WeakRef(answer));
            return Promise.resolve(answer);
          };
          return { heals: false, ping, async end() {} };
        },
      },
      announce: async (text) => ears?.heard(text),
    });
    feed.subscribe({});
    await until("it has looked", () => looks.length > 30);
    gc();
    expect(looks.filter((look) => look.deref() !== undefined).length).toBeLessThan(5);
    await feed.close();
  });
});
