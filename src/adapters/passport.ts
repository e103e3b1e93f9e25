import type { AnyRequest } from "../request/request.ts";
import type { Session } from "../session.ts";
import type { Sessions } from "../sessions.ts";
import { idOfPassportUser } from "../user-id.ts";

/** What this needs of a passport: of passport 0.7, or of an `Authenticator` of @fastify/passport 4. */
export interface PassportAuthenticator {
  serializeUser(...args: never[]): unknown;
  deserializeUser(...args: never[]): unknown;
}

/**
 * Makes passport keep who is signed in by Sojourn's sessions: `req.logIn` is `signIn` with the id that `serializeUser` gives, and
 * `req.logOut` is `signOut`. Call it once, for passport 0.7 beside `sessionMiddleware`, for @fastify/passport 4 beside
 * `sessionPlugin`.
 *
 * @example
 * passportSessions(passport, sessions);
 * app.use(sessionMiddleware(sessions));
 * app.use(passport.session());
 *
 * @throws TypeError for anything but those two.
 */
export function passportSessions<Passport extends PassportAuthenticator, Data extends object>(
  passport: Passport,
  sessions: Sessions<Data>,
): Passport {
  const sessionOf = (request: AnyRequest) => sessions.of(request) as unknown as Session<Dictionary>;
  if ("sessionManager" in passport) useInFastify(passport as unknown as FastifyPassport, sessionOf);
  else if ("_sm" in passport) useInExpress(passport as unknown as ExpressPassport, sessionOf);
  else throw new TypeError("passportSessions takes passport 0.7, or an Authenticator of @fastify/passport 4");
  return passport;
}

type Dictionary = Record<string, unknown>;
type SessionOf = (request: AnyRequest) => Session<Dictionary>;

interface LogInOptions {
  readonly keepSessionInfo?: unknown;
}

// @fastify/passport

interface FastifyPassport {
  sessionManager: FastifyManager;
  serializeUser(user: unknown, request: AnyRequest): Promise<unknown>;
}

/** The settings are those of the application's own manager. */
interface FastifyManager {
  readonly key: string;
  readonly clearSessionOnLogin: boolean;
  readonly clearSessionIgnoreFields: readonly string[];
  logIn(request: AnyRequest, user: unknown, options?: LogInOptions): Promise<void>;
  logOut(request: AnyRequest): Promise<void>;
  getUserFromSession(request: AnyRequest): unknown;
}

function useInFastify(passport: FastifyPassport, sessionOf: SessionOf): void {
  const { key, clearSessionOnLogin, clearSessionIgnoreFields } = passport.sessionManager;
  passport.sessionManager = {
    key,
    clearSessionOnLogin,
    clearSessionIgnoreFields,
    async logIn(request, user, options = {}) {
      const value = await passport.serializeUser(user, request);
      const keep = clearSessionOnLogin && !options.keepSessionInfo ? clearSessionIgnoreFields : undefined;
      signIn(sessionOf(request), value, keep);
    },
    async logOut(request) {
      sessionOf(request).signOut();
    },
    getUserFromSession: (request) => userOf(sessionOf(request)),
  };
}

// passport 0.7

type Done = (error?: unknown) => void;

interface ExpressPassport {
  /** Its session manager: passport has no other place where another one could be put. */
  _sm: {
    logIn(request: AnyRequest, user: unknown, options: LogInOptions, done: Done): void;
    logOut(request: AnyRequest, options: LogInOptions, done: Done): void;
  };
  use(name: string, strategy: object): void;
  serializeUser(user: unknown, request: AnyRequest, done: (error: unknown, value: unknown) => void): void;
  deserializeUser(value: unknown, request: AnyRequest, done: (error: unknown, user: unknown) => void): void;
}

/** The methods that passport gives to a strategy. */
interface Action {
  pass(): void;
  error(error: unknown): void;
}

function useInExpress(passport: ExpressPassport, sessionOf: SessionOf): void {
  // oxlint-disable-next-line no-underscore-dangle -- passport's name
  passport._sm = {
    logIn(request, user, { keepSessionInfo }, done) {
      passport.serializeUser(user, request, (error, value) => {
        if (error) return done(error);
        attempt(() => signIn(sessionOf(request), value, keepSessionInfo ? undefined : []), done);
      });
    },
    logOut(request, { keepSessionInfo }, done) {
      attempt(() => {
        const session = sessionOf(request);
        const { [KEY]: _user, ...data } = session.data;
        session.signOut();
        if (keepSessionInfo) Object.assign(session.data, data);
      }, done);
    },
  };
  passport.use("session", {
    name: "session",
    authenticate(this: Action, request: AnyRequest & { _userProperty?: string }) {
      let session: Session<Dictionary>;
      let value: unknown;
      try {
        session = sessionOf(request);
        value = userOf(session);
      } catch (error) {
        return this.error(error);
      }
      if (value === undefined) return this.pass();
      passport.deserializeUser(value, request, (error, user) => {
        if (error) return this.error(error);
        // oxlint-disable-next-line no-underscore-dangle -- passport's name
        const { _userProperty: property = "user" } = request;
        if (user) (request as unknown as Dictionary)[property] = user;
        else session.signOut();
        this.pass();
      });
    },
  });
}

/** Calls `done` after the action, or with what it has thrown. What `done` throws is its own. */
function attempt(action: () => void, done: Done): void {
  try {
    action();
  } catch (error) {
    return done(error);
  }
  done();
}

// Both

/** Where passport keeps what `serializeUser` gave. Here only what is no text: a text is the session's user id itself. */
const KEY = "passport";

function signIn(session: Session<Dictionary>, value: unknown, keep: readonly string[] | undefined): void {
  const userId = idOfPassportUser(value);
  if (userId === undefined) {
    throw new TypeError(
      "passport's serializeUser must give the user's id, a text of 1 to 512 bytes or a number, or an object that has it as id",
    );
  }
  session.signIn(userId, { keep });
  if (value === userId) delete session.data[KEY];
  else session.data[KEY] = { user: value };
}

function userOf(session: Session<Dictionary>): unknown {
  const { userId } = session;
  if (userId === undefined) return undefined;
  const { user } = (session.data[KEY] ?? {}) as { user?: unknown };
  // Whoever has signed in without passport is signed in all the same.
  return idOfPassportUser(user) === userId ? user : userId;
}
