import { type Context, Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { deleteCookie, getCookie, setCookie } from "hono/cookie";
import { secureHeaders } from "hono/secure-headers";
import { SessionError, type Sessions, type SessionStore } from "sojourn";
import { csrfProtection } from "sojourn/csrf";
import { sessionMiddleware } from "sojourn/hono";
import { homePage, loginPage, noticePage, STYLE_SOURCE, type Notice } from "./page.ts";

/** The data that the application keeps in a session. */
export interface Data {
  username: string;
}

export interface AppOptions {
  readonly sessions: Sessions<Data>;
  /** The store of these sessions. The pages show where it keeps a record. */
  readonly store: SessionStore & { locate?(id: string): string | undefined };
}

const MAX_BODY = 16 * 1024;
const MAX_NAME = 64;
/** Forbids caching. A page belongs to one person at one moment, so the browser's Back button must not show it again. */
const FRESH = { "Cache-Control": "no-store" };
/** Tells the first page once that a sign-out came before it. A flash would begin a session, and the visitor would have a cookie again. */
const LOGGED_OUT = "just-logged-out";

/** Creates the login application with the routes `/`, `/login` and `/logout`. */
export function createApp({ sessions, store }: AppOptions) {
  const app = new Hono();
  app.use(
    secureHeaders({
      contentSecurityPolicy: {
        defaultSrc: ["'none'"],
        styleSrc: [STYLE_SOURCE],
        imgSrc: ["data:"],
        formAction: ["'self'"],
        baseUri: ["'none'"],
        frameAncestors: ["'none'"],
      },
      xFrameOptions: "DENY",
      // With the default, no-referrer, browsers send forms with `Origin: null`.
      referrerPolicy: "same-origin",
      // Browsers warn of these over plain HTTP, and pages without scripts and pop-ups do not need them.
      crossOriginOpenerPolicy: false,
      originAgentCluster: false,
      // The proxy in front decides whether the host allows HTTPS only.
      strictTransportSecurity: false,
    }),
  );
  const csrf = csrfProtection();
  const pages = app.use(sessionMiddleware(sessions, { csrf }));

  pages.get("/", async (c) => {
    const { session } = c.var;
    const { username } = session.data;
    const justLoggedOut = getCookie(c, LOGGED_OUT) !== undefined;
    if (justLoggedOut) deleteCookie(c, LOGGED_OUT);
    if (username === undefined) {
      return c.html(homePage({ cookieCame: carriesSession(c), justLoggedOut }), 200, FRESH);
    }

    const justLoggedIn = session.takeFlashes("logged in").length > 0;
    // The session is stored now, not with the response: an update moves the record, and the page shows its place.
    if (justLoggedIn) await session.save();
    const { id, userId, createdAt, expiresAt } = session;
    const requestSession = { username, justLoggedIn, id, userId, createdAt, expiresAt, record: store.locate?.(id) };
    return c.html(homePage(requestSession), 200, FRESH);
  });

  pages.get("/login", (c) => c.html(loginPage({ signedInAs: c.var.session.data.username }), 200, FRESH));

  const tooLarge = bodyLimit({
    maxSize: MAX_BODY,
    onError: (c) => c.html(loginPage({ problem: "That was far too much. Please enter a username." }), 413, FRESH),
  });

  pages.post("/login", tooLarge, async (c) => {
    const { session } = c.var;
    const { username, typed, problem } = await readForm(c);
    if (username === undefined) {
      return c.html(loginPage({ signedInAs: session.data.username, typed, problem }), 400, FRESH);
    }
    session.data.username = username;
    session.signIn(username);
    session.flash("logged in", true);
    return c.redirect("/", 303);
  });

  pages.get("/logout", (c) => {
    // No other site may log anybody out by a link, although its method is a safe one.
    csrf.check(c, c.var.session, { everyMethod: true });
    const username = c.var.session.pop("username");
    c.var.session.signOut();
    if (username !== undefined) {
      setCookie(c, LOGGED_OUT, "1", { maxAge: 60, path: "/", httpOnly: true, sameSite: "Lax" });
    }
    return c.redirect("/", 303);
  });

  app.notFound((c) => c.html(noticePage("notFound"), 404));

  app.onError((error, c) => {
    if (error instanceof SessionError) {
      if (error.status >= 500) console.error(`${error.code}: ${error.message}`, error.cause ?? "");
      return c.html(noticePage(NOTICES[error.status] ?? "fault"), error.status, { ...error.headers });
    }
    console.error(error);
    return c.html(noticePage("fault"), 500, FRESH);
  });

  return app;
}

const NOTICES: Readonly<Record<number, Notice>> = {
  403: "foreign",
  409: "conflict",
  500: "fault",
  413: "tooLarge",
  503: "outage",
};

function carriesSession(c: Context): boolean {
  return /(?:^|;\s*)(?:__Host-)?session=/.test(c.req.header("cookie") ?? "");
}

type Form =
  | { username: string; typed?: undefined; problem?: undefined }
  | { username?: undefined; typed?: string | undefined; problem: string };

async function readForm(c: Context): Promise<Form> {
  let field: unknown;
  try {
    field = (await c.req.parseBody()).username;
  } catch {
    return { problem: "The form could not be read. Please send it again." };
  }
  if (typeof field !== "string") return { problem: "Please enter a username." };
  const username = field.trim();
  const problem = problemOf(username);
  return problem === undefined ? { username } : { typed: field, problem };
}

function problemOf(username: string): string | undefined {
  if (/\p{Cc}/u.test(username)) return "A username can't have line breaks or other control characters.";
  const length = Array.from(username).length;
  if (length > MAX_NAME) return `A username has ${MAX_NAME} characters at most; this one has ${length}.`;
  if (!/[\p{L}\p{M}\p{N}\p{P}\p{S}]/u.test(username)) return "Please enter a username.";
  return undefined;
}
