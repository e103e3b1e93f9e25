import type { Session, SessionError } from "sojourn";
import { administer } from "./administration.ts";
import { CookieChecks } from "./cookie-checks.ts";
import type { Environment } from "./environment.ts";
import { codeOf, runStep } from "./handler.ts";
import type { RequestModel } from "./model.ts";
import { Observer } from "./observer.ts";
import { probe } from "./probe.ts";
import { handled, startProcess, type Process } from "./processes.ts";
import {
  USERS,
  type AdminTurn,
  type ConnectionTurn,
  type RequestTurn,
  type Scenario,
  type Step,
  type TroubleTurn,
  type Turn,
} from "./scenario.ts";
import { createRequest, type ClientResponse, type SimulatedRequest } from "./requests.ts";
import { SharedStore } from "./shared-store.ts";
import { checkSignals, type Held } from "./signal-checks.ts";
import { as, Timeline } from "./virtual-time.ts";

type Data = Record<string, unknown>;

/** The longest that a request may take, with all that its handler waits for. */
const SETTLED = 2500;

/** What is left of a schedule that was carried out. */
export interface Outcome {
  readonly breach: Error | undefined;
  readonly log: readonly string[];
  /** Points at which the schedule could have gone another way. */
  readonly storeCalls: number;
}

/**
 * Carries out a schedule, and checks on the way and at the end what the library promises.
 *
 * @param options.traces - whether the log has every call of the store.
 */
export async function simulate(
  scenario: Scenario,
  environment: Environment,
  { traces = false }: { readonly traces?: boolean } = {},
): Promise<Outcome> {
  const timeline = new Timeline();
  environment.begin(timeline);
  const world = new World(scenario, timeline);
  if (traces) world.store.trace = (what) => world.observer.note(what);
  const unhandled = (error: unknown) => world.observer.breach("unhandled rejection", String(error));
  process.on("unhandledRejection", unhandled);
  try {
    await world.run();
  } catch (error) {
    world.observer.breach("error in the simulation", error instanceof Error ? (error.stack ?? "") : String(error));
  } finally {
    process.off("unhandledRejection", unhandled);
  }
  const { breaches, log } = world.observer;
  return { breach: breaches[0], log, storeCalls: world.store.calls };
}

/** Milliseconds for which a handler pauses. */
function lengthOf({ steps, bodySteps = [] }: Pick<RequestTurn, "steps" | "bodySteps">): number {
  return [...steps, ...bodySteps].reduce((sum, { pause }) => sum + pause, 0);
}

function describeSteps(steps: readonly Step[]): string {
  return steps.map(({ name, choice, pause }) => `${pause ? `${pause} ms, ` : ""}${name} (${choice})`).join("; ");
}

/** The response is complete. */
function end(response: ClientResponse): void {
  response.writableEnded = true;
  if (!response.destroyed) response.close();
}

class World {
  readonly observer: Observer;
  readonly store: SharedStore;
  readonly #cookies: CookieChecks;
  readonly #scenario: Scenario;
  readonly #timeline: Timeline;
  readonly #processes: Process[] = [];
  /** The cookie of each browser, and every one that it ever had. */
  readonly #jars: (string | undefined)[] = [];
  readonly #past: string[][] = [];
  readonly #held: Held[] = [];
  #requests = 0;
  #pending = 0;

  constructor(scenario: Scenario, timeline: Timeline) {
    this.#scenario = scenario;
    this.#timeline = timeline;
    this.store = new SharedStore(timeline, scenario);
    this.observer = new Observer(scenario, timeline, this.store);
    this.#cookies = new CookieChecks(this.observer, scenario, timeline, this.store);
    for (let n = 0; n < scenario.processes; n++) this.#processes.push(startProcess(this.#surroundings, 0));
    for (const _ of scenario.browsers) this.#past.push([]);
  }

  get #surroundings() {
    const { observer, store } = this;
    return { observer, store, timeline: this.#timeline, scenario: this.#scenario };
  }

  async run(): Promise<void> {
    const { turns, browsers, together } = this.#scenario;
    for (const [browser, what] of browsers.entries()) {
      if (what !== "visitor") this.#begin(browser, what);
    }
    await this.#timeline.run(1, together);
    let at = 1;
    for (const turn of turns) {
      at += turn.gap;
      this.#timeline.after(at - this.#timeline.now, () => this.#take(turn));
    }
    const lengths = turns.map((turn) => ("steps" in turn ? lengthOf(turn) : 0));
    await this.#timeline.run(at + Math.max(0, ...lengths) + SETTLED, together);
    if (this.#pending > 0) this.observer.breach("bounded wait", `${this.#pending} requests have no end`);
    await probe(this.observer, this.#timeline);
    await checkSignals(this.#held, this.#scenario, this.#timeline, this.observer);
  }

  /** A browser comes with a session, so that schedules need not begin with making one. */
  #begin(browser: number, what: "anonymous" | "alice" | "bob"): void {
    const write = { name: "update a list", choice: 0, pause: 0 };
    const signIn = { name: "sign in", choice: USERS.indexOf(what as "alice"), pause: 0 };
    this.#send({
      kind: "request",
      gap: 0,
      browser,
      process: 0,
      cookie: "jar",
      isPassive: false,
      steps: what === "anonymous" ? [write] : [write, signIn],
      fates: [],
      travel: 0,
    });
  }

  #take(turn: Turn): void {
    switch (turn.kind) {
      case "request":
        return this.#send(turn);
      case "connection":
        return this.#connect(turn);
      case "crash":
      case "clock":
      case "deaf":
        return this.#trouble(turn);
      default:
        return this.#administer(turn);
    }
  }

  #process(at: number): Process {
    return this.#processes[at % this.#processes.length]!;
  }

  #request(
    turn: Pick<RequestTurn, "fates" | "steps" | "bodySteps" | "isPassive">,
    cookies: readonly string[],
    isConnection: boolean,
  ): SimulatedRequest {
    const [observer, now] = [this.observer, this.#timeline.now];
    return createRequest(turn, cookies, isConnection, { observer, number: this.#requests++, now });
  }

  // Clients

  #cookiesOf({ browser, cookie }: RequestTurn): readonly string[] {
    const jar = this.#jars[browser];
    const past = this.#past[browser]!;
    // Somebody else's cookie was planted beside the browser's own.
    if (cookie === "planted") return this.#jars.filter((one) => one !== undefined);
    if (cookie === "old" && past[0] !== undefined) return [past[0]];
    if (jar === undefined) return [];
    if (cookie === "both") {
      const older = past.findLast((one) => one !== jar);
      return older === undefined ? [jar] : past.length % 2 === 0 ? [older, jar] : [jar, older];
    }
    if (cookie !== "forged") return [jar];
    // Another id, another secret, another epoch, another signature.
    const at = [5, 30, 46, 60, 80][past.length % 5]!;
    return [jar.slice(0, at) + (jar[at] === "A" ? "B" : "A") + jar.slice(at + 1)];
  }

  #send(turn: RequestTurn): void {
    const { observer } = this;
    const server = this.#process(turn.process);
    const request = this.#request(turn, this.#cookiesOf(turn), false);
    const { model } = request;
    const isDead = this.#under(server, model);
    observer.note(
      `request ${model.number} of browser ${turn.browser} to process ${this.#processes.indexOf(server)}` +
        `${turn.isPassive ? ", passive" : ""}: ${describeSteps(turn.steps)}${turn.bodySteps ? `; in the body: ${describeSteps(turn.bodySteps)}` : ""}`,
    );
    observer.opens(model);
    if (turn.leaves !== undefined) this.#timeline.after(turn.leaves, () => this.#leaves(request));
    void as(model.actor, () => server.handle(request, { outgoing: request.response })).then(
      (response) => {
        if (isDead()) return;
        this.#answered(request, response, turn);
        if (turn.bodySteps && response.status === 200)
          void as(model.actor, () => this.#sendBody(request, server, response));
      },
      (error: unknown) => {
        if (!isDead())
          observer.breach("unexpected error", error instanceof Error ? (error.stack ?? "") : String(error));
      },
    );
  }

  /** Counts a request as under way until the returned function is asked, or its process dies. */
  #under(server: Process, model: RequestModel): () => boolean {
    let isOver = false;
    this.#pending++;
    const over = () => {
      isOver = true;
      this.#pending--;
      server.underway.delete(over);
      if (server.connection.isDead) this.observer.lost(model);
    };
    server.underway.add(over);
    return () => {
      if (isOver) return true;
      over();
      return false;
    };
  }

  /** The client goes away. Once the handler is done its answer is lost, as any other may be. */
  #leaves({ model, response }: SimulatedRequest): void {
    if (response.destroyed) return;
    this.observer.note(`the client of request ${model.number} goes away`);
    if (!handled.has(model)) this.observer.departures.leaves(model);
    as(model.actor, () => response.close());
  }

  #answered(
    { model, response: outgoing }: SimulatedRequest,
    response: Response,
    { browser, ...turn }: RequestTurn,
  ): void {
    const { observer } = this;
    const travel = outgoing.destroyed ? undefined : turn.travel;
    if (!turn.bodySteps) end(outgoing);
    const done = handled.get(model);
    const code = response.headers.get("x-code") ?? undefined;
    if (!done) observer.failedToOpen(model, code);
    else if (model.leftAt !== undefined) observer.departures.answered(model, done, code);
    else if (response.status === 200) observer.commits.stored(model, done.session, done.at);
    else observer.commits.failed(model, code, done.at);
    observer.note(
      `request ${model.number} is answered with ${response.status}${travel === undefined ? ", which is lost" : ""}`,
    );
    const [line] = response.headers.getSetCookie();
    this.#cookies.caches(model, response.headers, line !== undefined || response.status !== 200);
    if (line === undefined) {
      if (done && response.status === 200 && model.leftAt === undefined)
        this.#cookies.keptCookie(model, done.session, done.at);
      return;
    }
    const value = /^session=([^;]*)/.exec(line)?.[1] ?? "";
    const isCleared = value === "";
    if (isCleared) this.#cookies.cleared(model);
    else {
      this.#cookies.issued(model, value, done?.at ?? this.#timeline.now);
      this.#cookies.lasts(value, Number(/Max-Age=(\d+)/.exec(line)?.[1]));
    }
    if (travel === undefined) return;
    this.#timeline.after(travel, () => {
      this.#jars[browser] = isCleared ? undefined : value;
      if (!isCleared) this.#past[browser]!.push(value);
    });
  }

  /** Sends the body, during which the handler may go on. The client can tell whether it is complete. */
  async #sendBody({ model, sendHeaders }: SimulatedRequest, server: Process, response: Response): Promise<void> {
    const isDead = this.#under(server, model);
    const done = () => handled.get(model)!;
    let code: string | undefined;
    // The response has left out what save() had failed to store.
    model.setAside = undefined;
    sendHeaders();
    try {
      const reader = response.body!.getReader();
      while (!(await reader.read()).done);
    } catch (error) {
      code = codeOf(error);
    }
    if (isDead()) return;
    const { session, at } = done();
    this.observer.note(`the body of request ${model.number} is ${code === undefined ? "complete" : "broken off"}`);
    if (code === undefined) this.observer.commits.stored(model, session, at);
    else this.observer.commits.failed(model, code, at);
  }

  #connect(turn: ConnectionTurn): void {
    const { observer } = this;
    const server = this.#process(turn.process);
    const jar = this.#jars[turn.browser];
    const request = this.#request({ ...turn, isPassive: false }, jar === undefined ? [] : [jar], true);
    const { model } = request;
    const isDead = this.#under(server, model);
    observer.note(
      `connection ${model.number} of browser ${turn.browser}: ${turn.steps.map(({ name }) => name).join("; ")}`,
    );
    const live = async () => {
      let session: Session<Data>;
      observer.opens(model);
      try {
        session = await server.sessions.attach(request);
      } catch (error) {
        if (!isDead()) observer.failedToOpen(model, (error as SessionError).code);
        return;
      }
      if (server.connection.isDead) return;
      observer.opened(model, session);
      const held: Held = { model, session, signal: session.signal, isClosed: false };
      this.#held.push(held);
      held.signal.addEventListener("abort", () => {
        if (!server.connection.isDead) observer.aborted(model);
      });
      for (const step of turn.steps) {
        await this.#timeline.wait(step.pause);
        if (server.connection.isDead) return;
        await runStep(observer, this.#timeline, server.sessions, model, session, step);
      }
      for (const mark of model.marks) if (mark.state === "pending") mark.state = "dropped";
      if (server.connection.isDead) held.isClosed = true;
      isDead();
    };
    server.underway.add(() => {
      for (const held of this.#held) if (held.model === model) held.isClosed = true;
    });
    as(model.actor, live).catch((error: unknown) =>
      observer.breach("unexpected error", error instanceof Error ? (error.stack ?? "") : String(error)),
    );
  }

  // The server's side

  #administer(turn: AdminTurn): void {
    const jar = this.#jars[turn.browser];
    const session = jar === undefined ? undefined : this.observer.model.tokens.get(jar)?.session;
    if (session) administer(turn, session, this.#process(turn.process), this.#surroundings);
  }

  #trouble({ kind, process: at, choice }: TroubleTurn): void {
    const { skew, notifies } = this.#scenario;
    const index = at % this.#processes.length;
    const server = this.#processes[index]!;
    const { connection } = server;
    if (kind === "clock") {
      const offset = Math.floor((skew * (choice % 4)) / 3);
      this.observer.note(`clock ${index} is ${offset} ms ahead`);
      if (choice > 11) this.store.offset = offset;
      else server.offset = offset;
    } else if (kind === "deaf") {
      if (!notifies || !connection.isHearing) return;
      this.observer.note(`process ${index} hears nothing`);
      this.store.deafen(connection, [0, 5, 200, 3000][choice % 4]!, [1, 30, 1000, 9000][choice >> 2]!);
    } else {
      this.observer.note(`process ${index} dies, and begins anew`);
      connection.survivors = [0, 1, 2, 3].map((bit) => ((choice >> bit) & 1) === 1);
      connection.isDead = true;
      for (const over of server.underway) over();
      this.#processes[index] = startProcess(this.#surroundings, server.offset);
    }
  }
}
