import { checkOptions } from "../checks.ts";
import { milliseconds, type Duration } from "../duration.ts";
import { TOKEN_HEADER } from "../request/bearer.ts";
import { tokenInHeader } from "../request/bearer-header.ts";
import { OutgoingCookie } from "../request/outgoing-cookie.ts";
import type { RequestSession } from "../request/request-session.ts";
import { requestSessionOf } from "../request/session-handle.ts";
import type { Session, SignInOptions } from "../session.ts";
import type { Sessions } from "../sessions.ts";

/** The options of {@link cookieFor} and {@link tokenFor}. */
export interface CookieForOptions<Data extends object> {
  /** The data of the session. Default: none. */
  data?: Partial<Data> | undefined;
  /** The options of `session.signIn`. Default: none. */
  signIn?: SignInOptions<Data> | undefined;
}

/**
 * Stores a session, and returns the `Cookie` header of its client. It is the cookie of HTTP and of HTTPS at once, so that it
 * works however the test calls the application.
 *
 * @param userId - the user who has signed in. `null`: a visitor, who needs `data`.
 * @example
 * const cookie = await cookieFor(sessions, "ada", { data: { cart: { items: ["tea"] } } });
 * await request(app).get("/cart").set("Cookie", cookie);
 *
 * @throws TypeError for a user id that is neither a string nor `null`, and for a visitor without data. What
 * `session.save()` throws.
 */
export async function cookieFor<Data extends object>(
  sessions: Sessions<Data>,
  userId: string | null,
  options: CookieForOptions<Data> = {},
): Promise<string> {
  const response = await responseFor("cookieFor", sessions, userId, options);
  const pairs = response.headers.getSetCookie().map((line) => line.split(";", 1)[0]!);
  // Over HTTP the cookie has no prefix. A server reads only the name that fits the request.
  const plain = pairs.map((pair) => pair.replace(/^__(?:Host|Secure)-/, ""));
  return [...new Set([...plain, ...pairs])].join("; ");
}

/**
 * Stores a session, and returns the token that its client sends in `Authorization: Bearer`, to an application with
 * `bearerTokens()`.
 *
 * @param userId - the user who has signed in. `null`: a visitor, who needs `data`.
 * @example
 * const token = await tokenFor(sessions, "ada");
 * await request(app).get("/api/cart").set("Authorization", `Bearer ${token}`);
 *
 * @throws TypeError for a user id that is neither a string nor `null`, for a visitor without data, and with `cookieStore()`.
 * What `session.save()` throws.
 */
export async function tokenFor<Data extends object>(
  sessions: Sessions<Data>,
  userId: string | null,
  options: CookieForOptions<Data> = {},
): Promise<string> {
  const response = await responseFor("tokenFor", sessions, userId, options, (requestSession) => {
    requestSession.context.clientSide?.refuse("tokenFor()");
    requestSession.cookie = new OutgoingCookie(requestSession.context, tokenInHeader);
  });
  return response.headers.get(TOKEN_HEADER)!;
}

/** Stores a session, and gives a response to its client. */
async function responseFor<Data extends object>(
  call: string,
  sessions: Sessions<Data>,
  userId: string | null,
  options: CookieForOptions<Data>,
  prepare?: (requestSession: RequestSession) => void,
): Promise<Response> {
  checkOptions(call, options, { data: true, signIn: true });
  const { data = {}, signIn } = options;
  if (userId === null && Object.keys(data).length === 0) {
    throw new TypeError(`${call}: a visitor without data has no session; give data, or the id of a user who signs in`);
  }
  const session = await sessions.open(new Request("https://localhost/"));
  prepare?.(requestSessionOf(session));
  Object.assign(session.data, data);
  if (userId !== null) session.signIn(userId, signIn);
  return sessions.commit(session, new Response());
}

/**
 * Reads a session as the next request with these cookies would get it. The session is not extended.
 *
 * @param cookie - a `Cookie` header, or the values of `Set-Cookie` of a response.
 * @example
 * const response = await request(app).post("/login").send({ username: "ada" });
 * const session = await sessionFor(sessions, response.headers["set-cookie"]);
 * expect(session.userId).toBe("ada");
 *
 * @throws TypeError for anything but cookies. What `sessions.open` throws.
 */
export async function sessionFor<Data extends object>(
  sessions: Sessions<Data>,
  cookie: string | readonly string[],
): Promise<Session<Data>> {
  const header = typeof cookie === "string" ? cookie : Array.isArray(cookie) ? cookie.join("; ") : undefined;
  if (header === undefined) {
    throw new TypeError(
      `sessionFor(sessions, cookie) takes a Cookie header or a list of Set-Cookie values, not ${String(cookie)}`,
    );
  }
  const open = (url: string) => sessions.open(new Request(url, { headers: { cookie: header } }), { passive: true });
  const session = await open("https://localhost/");
  return session.isNew ? open("http://localhost/") : session;
}

/** A clock that only a test moves. */
export interface TestClock {
  /** The time in epoch milliseconds. It is the option `clock` of `createSessions`, and of the store. */
  readonly clock: () => number;
  /** Lets time pass. */
  readonly advance: (duration: Duration) => void;
}

/**
 * Creates a clock for tests. It stands still until `advance` is called.
 *
 * @param start - epoch milliseconds. Default: now.
 * @example
 * const { clock, advance } = testClock();
 * const sessions = createSessions({ secretKey, store: memoryStore({ clock }), clock });
 * advance("31m");
 */
export function testClock(start: number = Date.now()): TestClock {
  let now = start;
  return {
    clock: () => now,
    advance(duration) {
      now += milliseconds(duration, "advance");
    },
  };
}
