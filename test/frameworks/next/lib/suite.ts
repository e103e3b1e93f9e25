import type { Session, Sessions } from "sojourn";
import type { AdapterReply, AdapterRoute } from "sojourn/testing";

type RouteHandler = (request: Request, context: unknown) => Promise<Response>;

/** What run.mjs gives to the application: both run in one process. */
export interface Suite {
  /** The handlers of the contract's cases, by the host of their server. */
  readonly handlers: Map<string, RouteHandler>;
  /** Makes the sessions of the pages. It is to be called once. */
  createSessions(): Sessions;
  /** What a case waits for. */
  gate(name: string): Promise<void>;
  /** Tells a case something. */
  tell(name: string, value: unknown): void;
}

export const suite = (): Suite => (globalThis as unknown as { suite: Suite }).suite;

/** The type of a session is not `any`: the contract's routes refuse that. */
export const handle = (session: Session, route: AdapterRoute, request: Request): Promise<AdapterReply> =>
  route.handle(session, {
    request,
    header: (name) => request.headers.get(name),
    text: () => request.text(),
  });
