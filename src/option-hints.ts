/** How an option of another library is called here, or what there is in its place. The keys of a group are such options. */
type Hints = Readonly<Record<string, string>>;

const LIFETIME = 'idleTimeout: "30m" and absoluteTimeout: "12h" of createSessions say how long a session lives';
const NAME = 'cookie: { name: "…" } names the cookie';
const ATTRIBUTE = "it is an attribute of the cookie, and belongs into cookie: { … }";
const EXTENDED = "each request extends its session, at most once in touchInterval";
const ID = "an id is 128 random bits";
const REMEMBERED = 'remember: "30d" gives one session timeouts of its own';
const COLLECTED = "expired sessions are collected without it";

const COOKIE: Hints = {
  maxAge: LIFETIME,
  expires: LIFETIME,
  httpOnly: "the cookie is always HttpOnly",
  signed: "the cookie is always signed",
};

/** Those of any store. */
const STORE: Hints = { ttl: LIFETIME, maxAge: LIFETIME, expiration: LIFETIME };

/** By what takes the options: those of express-session, @fastify/session, koa-session, cookie-session and iron-session. */
const GROUPS: Readonly<Record<string, Hints>> = {
  createSessions: {
    ...COOKIE,
    secret: "it is called secretKey",
    keys: "it is called secretKey",
    password: "it is called secretKey",
    name: NAME,
    key: NAME,
    cookieName: NAME,
    domain: ATTRIBUTE,
    path: ATTRIBUTE,
    sameSite: ATTRIBUTE,
    secure: ATTRIBUTE,
    ttl: LIFETIME,
    resave: "a session without changes is not written, except to extend it",
    saveUninitialized: "a session without data is not stored and gets no cookie",
    rolling: EXTENDED,
    renew: EXTENDED,
    genid: ID,
    idGenerator: ID,
    unset: "session.signOut() ends a session",
    proxy: "it is called trustProxy",
  },
  cookie: COOKIE,
  signIn: { maxAge: REMEMBERED, ttl: REMEMBERED },
  fileStore: { ...STORE, path: "it is called directory", reapInterval: COLLECTED },
  memoryStore: { ...STORE, max: "it is called maxSessions", checkPeriod: COLLECTED },
  postgresStore: {
    ...STORE,
    createTableIfMissing: "migratePostgres(pool) creates the table",
    pruneSessionInterval: COLLECTED,
  },
};

/**
 * What an option that does not exist was probably meant to be.
 *
 * @param where - what takes the options: `createSessions`, `cookie`, `redisStore`
 */
export function optionHint(where: string, name: string, known: readonly string[]): string | undefined {
  const hints = Object.hasOwn(GROUPS, where) ? GROUPS[where] : where.endsWith("Store") ? STORE : undefined;
  if (hints && Object.hasOwn(hints, name)) return `${hints[name]!}.`;
  const near = nearOf(name, known);
  return near && `did you mean "${near}"?`;
}

/** The one known name that differs by a slip, or has the other in it. */
function nearOf(name: string, known: readonly string[]): string | undefined {
  const given = name.toLowerCase();
  const most = given.length < 6 ? 1 : 2;
  for (let slips = 0; slips <= most; slips += 1) {
    const found = known.find((one) => isNear(given, one.toLowerCase(), slips));
    if (found !== undefined) return found;
  }
  const related = known.filter((one) => given.length >= 4 && contains(given, one.toLowerCase()));
  return related.length === 1 ? related[0] : undefined;
}

const contains = (a: string, b: string): boolean => a.includes(b) || b.includes(a);

/** Whether one text becomes the other, if at most so many letters are removed, added, changed or swapped. */
function isNear(a: string, b: string, slips: number): boolean {
  let same = 0;
  while (same < a.length && a[same] === b[same]) same += 1;
  const [x, y] = [a.slice(same), b.slice(same)];
  if (x === y) return true;
  if (slips === 0) return false;
  const isSwapped = x.length > 1 && x[0] === y[1] && x[1] === y[0];
  return (
    isNear(x.slice(1), y, slips - 1) ||
    isNear(x, y.slice(1), slips - 1) ||
    isNear(x.slice(1), y.slice(1), slips - 1) ||
    (isSwapped && isNear(x.slice(2), y.slice(2), slips - 1))
  );
}
