import { setTimeout as pause } from "node:timers/promises";
import { check, type Breach } from "./check.ts";
import { createHttpClient } from "./client.ts";
import type { HistoryEngine } from "./engines.ts";
import { killsOf, startNemesis, type FaultKind } from "./faults.ts";
import type { Operation } from "./history.ts";
import { startServer, type Errors } from "./servers.ts";
import { startLoad } from "./workload.ts";

const PROCESSES = 3;
const USERS = 3;
const LIFETIME_MS = 8000;

export interface RunOptions {
  readonly seconds: number;
  /** Without faults: clients at once are all that happens. Default `false`. */
  readonly calm?: boolean | undefined;
}

export interface HistoryReport {
  readonly engine: string;
  readonly processes: number;
  readonly history: readonly Operation[];
  readonly faults: Readonly<Record<FaultKind, number>>;
  readonly breaches: readonly Breach[];
  /** Answers with 500, and server processes that ended by themselves. */
  readonly errors: readonly string[];
}

/** Makes one history with real servers, and checks it. */
export async function runHistory(engine: HistoryEngine, options: RunOptions): Promise<HistoryReport> {
  const { seconds, calm = false } = options;
  const errors: Errors = [];
  const http = createHttpClient();
  const running = await engine.start();
  const servers = await Promise.all(Array.from({ length: PROCESSES }, () => startServer(running.program, errors)));
  try {
    const lifetime = Math.min(LIFETIME_MS, (seconds * 1000) / 2);
    const workload = { users: USERS, lifetime, knowsUsers: engine.knowsUsers ?? true };
    const load = startLoad(http, servers, { workload, errors });
    const nemesis = startNemesis(calm ? [] : [killsOf(servers), ...running.faults]);
    await pause(seconds * 1000);
    await nemesis.stop();
    await load.stop();
    await load.readAll();
    const { history } = load;
    const breaches = check(history, engine.promises);
    return { engine: engine.name, processes: PROCESSES, history, faults: nemesis.counts, breaches, errors };
  } finally {
    http.close();
    await Promise.all(servers.map((server) => server.stop()));
    await running.stop();
  }
}
