import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, it, vi } from "vitest";
import { until } from "../../../test/support/throwaway.ts";
import type { NotificationHandler, PostgresListenerConnection } from "./driver.ts";
import { postgresSubscription } from "./subscription.ts";

setFlagsFromString("--expose-gc");

/** A subscription without a server. Every notification that is sent is received, unless `isSilent`. */
function fakeDatabase({ reconnects = false, hasPing = true } = {}) {
  const state = {
    opened: 0,
    closed: 0,
    sent: 0,
    isSilent: false,
    isRefusing: false,
    /** Opening a connection waits for this. */
    gate: Promise.resolve(),
    handler: undefined as NotificationHandler | undefined,
  };
  const driver = {
    reserveConnection: () => () => {},
    async listen(_channel: string, handler: NotificationHandler): Promise<PostgresListenerConnection> {
      if (state.isRefusing) throw new Error("refused");
      await state.gate;
      state.opened += 1;
      state.handler = handler;
      return {
        reconnects,
        ...(hasPing && { ping: () => (state.isSilent ? new Promise<never>(() => {}) : Promise.resolve()) }),
        async close() {
          state.closed += 1;
        },
      };
    },
  };
  const notify = async (payload: string): Promise<void> => {
    state.sent += 1;
    if (!state.isSilent) state.handler?.onNotification(payload);
  };
  const subscription = postgresSubscription({ channel: "c", driver, notify, interval: 30 });
  const states: boolean[] = [];
  return { state, subscription, states, listening: (is: boolean) => void states.push(is) };
}

describe("postgresSubscription", () => {
  it("keeps one connection from the first listener to the last", async () => {
    const { state, subscription, states, listening } = fakeDatabase();
    const [one, other]: string[][] = [[], []];
    const first = subscription.subscribe({ ended: (id) => one!.push(id), listening });
    const second = subscription.subscribe({ ended: (id) => other!.push(id) });
    await until("it listens", () => states.at(-1) === true);
    const late: boolean[] = [];
    const third = subscription.subscribe({ listening: (is) => late.push(is) });
    expect(late).toEqual([true]);
    state.handler?.onNotification("-a\\u00e9");
    state.handler?.onNotification("*b");
    expect([one, other]).toEqual([["aé"], ["aé"]]);
    expect(state.opened).toBe(1);
    first();
    first();
    state.handler?.onNotification("-c");
    expect(other).toEqual(["aé", "c"]);
    second();
    third();
    expect(state.closed).toBe(1);
    state.handler?.onNotification("-d");
    expect(other).toEqual(["aé", "c"]);
  });

  it("reports each loss and each return, and opens another connection", async () => {
    const { state, subscription, states, listening } = fakeDatabase();
    subscription.subscribe({ listening });
    await until("it listens", () => states.at(-1) === true);
    state.isRefusing = true;
    state.handler?.onLost();
    await until("it does not", () => states.at(-1) === false);
    state.isRefusing = false;
    await until("it listens again", () => states.at(-1) === true);
    expect(states).toEqual([false, true, false, true]);
    expect([state.opened, state.closed]).toEqual([2, 1]);
    await subscription.close();
    expect(state.closed).toBe(2);
  });

  it("notices a connection that no longer replies", async () => {
    const { state, subscription, states, listening } = fakeDatabase();
    subscription.subscribe({ listening });
    await until("it listens", () => states.at(-1) === true);
    state.isSilent = true;
    await until("it does not", () => states.at(-1) === false);
    expect(states).toEqual([false, true, false]);
    await subscription.close();
  });

  it("sends probes if the client has no ping, and keeps a connection that reconnects by itself", async () => {
    const { state, subscription, states, listening } = fakeDatabase({ reconnects: true, hasPing: false });
    subscription.subscribe({ listening });
    await until("it listens", () => states.at(-1) === true);
    state.isSilent = true;
    await until("it does not", () => states.at(-1) === false);
    state.isSilent = false;
    await until("it listens again", () => states.at(-1) === true);
    expect([state.opened, state.closed]).toEqual([1, 0]);
    await subscription.close();
    expect(state.closed).toBe(1);
  });

  it("never reports that it listens if its probe does not come back, and warns once", async () => {
    const warn = vi.spyOn(process, "emitWarning").mockImplementation(() => {});
    try {
      const { state, subscription, states, listening } = fakeDatabase();
      state.isSilent = true;
      subscription.subscribe({ listening });
      await until("it has tried again", () => state.opened > 2);
      expect(states).toEqual([false]);
      expect(warn).toHaveBeenCalledTimes(1);
      expect(warn.mock.calls[0]?.[0]).toMatch(/direct connection/);
      await subscription.close();
    } finally {
      warn.mockRestore();
    }
  });

  it("closes a connection that opens after the last listener has gone", async () => {
    const { state, subscription } = fakeDatabase();
    subscription.subscribe({})();
    await until("it is closed", () => state.closed === 1);
    expect([state.opened, state.sent]).toEqual([1, 0]);
  });

  it("notifies the other listeners if one throws", async () => {
    const warn = vi.spyOn(process, "emitWarning").mockImplementation(() => {});
    try {
      const { state, subscription, states, listening } = fakeDatabase();
      const notified: string[] = [];
      const broken = (): never => {
        throw new Error("broken");
      };
      subscription.subscribe({ ended: broken, changed: broken, listening: broken });
      const record = (id: string): void => void notified.push(id);
      subscription.subscribe({ ended: record, changed: record, listening });
      await until("it listens", () => states.at(-1) === true);
      state.handler?.onNotification("-a");
      state.handler?.onNotification("*b");
      state.handler?.onLost();
      await until("it listens again", () => states.length === 4);
      expect(states).toEqual([false, true, false, true]);
      expect(notified).toEqual(["a", "b"]);
      expect(warn.mock.calls.map(([error]) => String(error))).toEqual(Array(6).fill("Error: broken"));
      await subscription.close();
    } finally {
      warn.mockRestore();
    }
  });

  it("calls the methods of a listener with its own this", async () => {
    const { state, subscription } = fakeDatabase();
    class Recorder {
      ids: string[] = [];
      ended(id: string): void {
        this.ids.push(id);
      }
    }
    const recorder = new Recorder();
    subscription.subscribe(recorder);
    await until("it is open", () => state.handler !== undefined);
    state.handler?.onNotification("-a");
    expect(recorder.ids).toEqual(["a"]);
    await subscription.close();
  });

  it("waits with closing for a connection that is being opened, but at most a second", async () => {
    const { state, subscription } = fakeDatabase();
    let open!: () => void;
    state.gate = new Promise((resolve) => (open = resolve));
    subscription.subscribe({});
    let isClosed = false;
    const closing = subscription.close().then(() => (isClosed = true));
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(isClosed).toBe(false);
    open();
    await closing;
    expect([state.opened, state.closed]).toEqual([1, 1]);

    state.gate = new Promise(() => {});
    subscription.subscribe({});
    await subscription.close();
    expect(state.opened).toBe(1);
  });

  it("keeps no reply of earlier checks in memory", async () => {
    const gc = runInNewContext("gc") as () => void;
    let handler: NotificationHandler | undefined;
    const replies: WeakRef<object>[] = [];
    const subscription = postgresSubscription({
      channel: "c",
      interval: 1,
      driver: {
        reserveConnection: () => () => {},
        async listen(_channel, given) {
          handler = given;
          const ping = (): Promise<object> => {
            const reply = {};
            replies.push(new WeakRef(reply));
            return Promise.resolve(reply);
          };
          return { reconnects: false, ping, async close() {} };
        },
      },
      notify: async (payload) => handler?.onNotification(payload),
    });
    subscription.subscribe({});
    await until("it has checked", () => replies.length > 30);
    gc();
    expect(replies.filter((reply) => reply.deref() !== undefined).length).toBeLessThan(5);
    await subscription.close();
  });
});
