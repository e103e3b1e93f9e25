import { createSessions, type Session, type Sessions, type SessionStore } from "sojourn";
import { withSession } from "sojourn/fetch";
import { runStep } from "./handler.ts";
import type { RequestModel } from "./model.ts";
import type { Observer } from "./observer.ts";
import { ABSOLUTE, EVERY, GRACE, IDLE, STORE_TIMEOUT, TOUCH_INTERVAL, type Scenario, type Step } from "./scenario.ts";
import type { SimulatedRequest } from "./requests.ts";
import type { Connection, SharedStore } from "./shared-store.ts";
import { as, START, type Timeline } from "./virtual-time.ts";

type Data = Record<string, unknown>;

const SECRET_KEY = "4f0c1d5e8a7b92e6c3d81f40a59be7264f0c9d5e8a7b12e6c3d81f40a59be72d";

/** One process of the server. */
export interface Process {
  connection: Connection;
  sessions: Sessions<Data>;
  handle: (request: SimulatedRequest, server: { readonly outgoing: object }) => Promise<Response>;
  offset: number;
  /** Those that die with it. */
  readonly underway: Set<() => void>;
}

interface Surroundings {
  readonly observer: Observer;
  readonly timeline: Timeline;
  readonly store: SharedStore;
  readonly scenario: Scenario;
}

/** Requests whose handler is done, with its session, and since when. */
export const handled = new WeakMap<RequestModel, { session: Session<Data>; at: number }>();

/** @param offset - how far its clock is ahead, in milliseconds. */
export function startProcess({ observer, timeline, store, scenario }: Surroundings, offset: number): Process {
  const started: Process = {
    offset,
    underway: new Set(),
    connection: {
      isDead: false,
      survivors: [],
      isHearing: true,
      listeners: new Set(),
      clock: () => Math.floor(START + timeline.now + started.offset),
    },
  } as unknown as Process;
  started.sessions = createSessionsOver(store.connect(started.connection), started.connection, scenario);
  started.sessions.on("replayed", ({ id }) => {
    if (!started.connection.isDead) observer.replayed(id);
  });
  started.handle = withSession(
    started.sessions,
    async (request, session) => {
      const simulated = request as unknown as SimulatedRequest;
      const { model, bodySteps } = simulated;
      const runAll = async (steps: readonly Step[]) => {
        for (const step of steps) {
          if (step.pause > 0) await timeline.wait(step.pause);
          await runStep(observer, timeline, started.sessions, model, session, step);
        }
        handled.set(model, { session, at: timeline.now });
      };
      observer.opened(model, session);
      await runAll(simulated.steps);
      if (bodySteps.length === 0) return new Response(null);
      // What would need a cookie is an error there.
      return new Response(bodyThat(simulated, () => (session.isNew ? undefined : runAll(bodySteps))));
    },
    {
      passive: (request) => (request as unknown as SimulatedRequest).model.isPassive,
      onError: (error) => new Response(null, { status: error.status, headers: { "x-code": error.code } }),
    },
  ) as unknown as Process["handle"];
  return started;
}

/** A body during which a handler goes on, after the headers were sent. */
function bodyThat({ headersSent, model }: SimulatedRequest, run: () => Promise<void> | undefined): ReadableStream {
  return new ReadableStream({
    async pull(controller) {
      await headersSent;
      await as(model.actor, async () => run());
      controller.close();
    },
  });
}

export function createSessionsOver(store: SessionStore, connection: Connection, scenario: Scenario): Sessions<Data> {
  const { rotates, limit, refuses } = scenario;
  return createSessions<Data>({
    secretKey: SECRET_KEY,
    store,
    clock: () => connection.clock(),
    idleTimeout: `${IDLE}ms`,
    absoluteTimeout: `${ABSOLUTE}ms`,
    touchInterval: `${TOUCH_INTERVAL}ms`,
    storeTimeout: `${STORE_TIMEOUT}ms`,
    // Each schedule has sessions of its own, and each of them would load the diagnoses.
    diagnostics: false,
    ...(rotates ? { rotation: { every: `${EVERY}ms`, grace: `${GRACE}ms` } } : {}),
    ...(limit === undefined ? {} : { maxPerUser: { sessions: limit, whenFull: refuses ? "refuse" : "evict" } }),
  });
}
