import type { RequestModel, TokenModel } from "./model.ts";
import type { Observer } from "./observer.ts";
import type { RequestTurn, Step } from "./scenario.ts";
import type { Actor } from "./virtual-time.ts";

/** A request as the library sees it, with what the simulation knows of it. */
export interface SimulatedRequest {
  readonly url: string;
  readonly headers: { get(name: string): string | null };
  readonly model: RequestModel;
  readonly steps: readonly Step[];
  readonly bodySteps: readonly Step[];
  /** Is resolved when the headers of the response were sent. */
  readonly headersSent: Promise<void>;
  readonly sendHeaders: () => void;
  readonly response: ClientResponse;
}

/** The response as the library sees it: the client may go away before its end. */
export class ClientResponse {
  destroyed = false;
  writableEnded = false;
  readonly #listeners: (() => void)[] = [];

  once(_event: "close", listener: () => void): void {
    this.#listeners.push(listener);
  }

  close(): void {
    this.destroyed = true;
    for (const listener of this.#listeners.splice(0)) listener();
  }
}

/** @param cookies - the values that its Cookie header carries. */
export function createRequest(
  turn: Pick<RequestTurn, "fates" | "steps" | "bodySteps" | "isPassive">,
  cookies: readonly string[],
  isConnection: boolean,
  { observer, number, now }: { readonly observer: Observer; readonly number: number; readonly now: number },
): SimulatedRequest {
  const { tokens } = observer.model;
  const all = cookies.flatMap((one) => tokens.get(one) ?? []);
  // Of two tokens of one session the later counts.
  const isLatest = (one: TokenModel) => !all.some((other) => other.session === one.session && isLater(other, one));
  const presented = all.filter(isLatest);
  const actor: Actor = {
    name: isConnection ? `connection ${number}` : `request ${number}`,
    fates: turn.fates,
    calls: 0,
    faults: [],
    isSigningIn: false,
    isEnding: false,
    rotation: undefined,
    beganAt: now,
  };
  if (turn.isPassive) observer.passiveActors.add(actor);
  const model: RequestModel = {
    number,
    actor,
    isPassive: turn.isPassive,
    isConnection,
    presented,
    token: presented[0],
    openedAt: now,
    session: undefined,
    isPersonal: false,
    epoch: 0,
    storedId: undefined,
    pending: [],
    marks: [],
    removed: [],
    signIn: undefined,
    hasSignedOut: false,
    setAside: undefined,
    hasLeftovers: false,
    isRotating: false,
    isSaving: false,
    isUnmerged: false,
    signInCall: undefined,
    owesCookie: false,
    leftAt: undefined,
    needsCookie: false,
    hasFailed: false,
  };
  const header = cookies.length > 0 ? cookies.map((one) => `session=${one}`).join("; ") : null;
  const headers = { get: (name: string) => (name === "cookie" ? header : null) };
  const { steps, bodySteps = [] } = turn;
  let sendHeaders!: () => void;
  const headersSent = new Promise<void>((resolve) => (sendHeaders = resolve));
  return {
    url: "http://shop.example/",
    headers,
    model,
    steps,
    bodySteps,
    headersSent,
    sendHeaders,
    response: new ClientResponse(),
  };
}

function isLater(a: TokenModel, b: TokenModel): boolean {
  return a.epoch > b.epoch || (a.epoch === b.epoch && a.place > b.place);
}
