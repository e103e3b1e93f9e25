import { setTimeout as pause } from "node:timers/promises";
import type { Proxy } from "../support/throwaway.ts";
import type { Server } from "./servers.ts";

export type FaultKind = "kill" | "cut" | "restart" | "failover";

/** A fault, which is over when its promise is fulfilled. */
export interface Fault {
  readonly kind: FaultKind;
  run(): Promise<void>;
}

/** Longer than `storeTimeout`, now and then. */
const LONGEST_STALL_MS = 2600;

/** The faults of a network between the servers and their store. */
export function networkFaults(proxy: Proxy): Fault[] {
  return [
    { kind: "cut", run: async () => proxy.cut() },
    {
      kind: "cut",
      async run() {
        proxy.loseReplies();
        await pause(20 + Math.random() * 300);
        proxy.cut();
      },
    },
    {
      kind: "cut",
      async run() {
        proxy.pauseTraffic();
        await pause(Math.random() * LONGEST_STALL_MS);
        proxy.resumeTraffic();
      },
    },
    {
      kind: "cut",
      async run() {
        proxy.refuse();
        await pause(Math.random() * 500);
        proxy.accept();
      },
    },
  ];
}

/** Kills server processes in the middle of requests. */
export function killsOf(servers: readonly Server[]): Fault[] {
  return servers.map((server) => ({ kind: "kill", run: () => server.replace() }));
}

/** The faults of one history, and how often each has happened. */
export interface Nemesis {
  readonly counts: Readonly<Record<FaultKind, number>>;
  /** Fulfilled when the last fault is over. */
  stop(): Promise<void>;
}

/** Causes random faults, of each list one at a time. */
export function startNemesis(lists: readonly (readonly Fault[])[]): Nemesis {
  const counts = { kill: 0, cut: 0, restart: 0, failover: 0 };
  const state = { isOn: true };
  const loops = lists.map(async (faults) => {
    while (state.isOn && faults.length > 0) {
      // Most requests have to succeed, or there is nothing that could be lost.
      await pause(300 + Math.random() * 1500);
      if (!state.isOn) return;
      const fault = faults[Math.floor(Math.random() * faults.length)]!;
      counts[fault.kind] += 1;
      await fault.run();
    }
  });
  return {
    counts,
    async stop() {
      state.isOn = false;
      await Promise.all(loops);
    },
  };
}
