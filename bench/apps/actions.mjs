// What the application of every contender does, for each way in which libraries give access to a session's data.
//
//   untouched   never looks at the session             add?key&gap   reads, waits, adds a key
//   read        reads one value                        count?gap     reads, waits, adds one to a counter
//   write       changes one value                      update?gap    the same with Sojourn's session.update
//   sign-in     a visitor signs in                     redirect?key  changes a value and redirects to show
//   seed?bytes  fills a new session                    show          the data as JSON
//   sign-out    ends the session
import { setTimeout as sleep } from "node:timers/promises";

/** 171 bytes as JSON. */
export const DATA = {
  user: { id: "8f14e45fceea167a", name: "Ada Lovelace", roles: ["editor"] },
  cart: [{ sku: "tea-0042", count: 2 }],
  locale: "en-GB",
  theme: "d",
  seenAt: 1790,
  visits: 10000,
};
export const DATA_BYTES = JSON.stringify(DATA).length;

const GAP_MS = 5;
const USER_ID = "8f14e45fceea167a";

/** The actions that use the query. The others are the hot ones, so that frameworks do not parse a query for them. */
export const WITH_QUERY = new Set(["add", "count", "update", "redirect", "seed"]);

const gapOf = (query) => sleep(Number(query.gap ?? GAP_MS));

function seedOf({ bytes }) {
  const { user, visits } = DATA;
  const data = structuredClone(Number(bytes) < DATA_BYTES ? { user, visits } : DATA);
  const missing = Number(bytes) - JSON.stringify(data).length - ',"note":""'.length;
  if (missing >= 0) data.note = "n".repeat(missing);
  return data;
}

/** Data are a plain object. */
export function plain({ data, signIn, signOut, update, more = {} }) {
  return {
    untouched: () => "ok",
    read: (c) => data(c).user.name,
    write(c) {
      data(c).visits += 1;
      return "ok";
    },
    async add(c, query) {
      void data(c).visits;
      await gapOf(query);
      data(c)[query.key] = true;
      return "ok";
    },
    async count(c, query) {
      const { n = 0 } = data(c);
      await gapOf(query);
      data(c).n = n + 1;
      return "ok";
    },
    ...(update && {
      async update(c, query) {
        await gapOf(query);
        update(c, "n", (n = 0) => n + 1);
        return "ok";
      },
    }),
    redirect(c, { key }) {
      data(c).theme = key;
      return "ok";
    },
    seed(c, query) {
      Object.assign(data(c), seedOf(query));
      return "ok";
    },
    show: (c) => JSON.stringify(data(c)),
    "sign-in": signIn,
    "sign-out": signOut,
    ...more,
  };
}

/** Values are got and set by their keys. */
export function keyed({ session, signIn, signOut }) {
  return {
    untouched: () => "ok",
    read: (c) => session(c).get("user").name,
    write(c) {
      session(c).set("visits", session(c).get("visits") + 1);
      return "ok";
    },
    async add(c, query) {
      void session(c).get("visits");
      await gapOf(query);
      session(c).set(query.key, true);
      return "ok";
    },
    async count(c, query) {
      const n = session(c).get("n") ?? 0;
      await gapOf(query);
      session(c).set("n", n + 1);
      return "ok";
    },
    redirect(c, { key }) {
      session(c).set("theme", key);
      return "ok";
    },
    seed(c, query) {
      for (const [key, value] of Object.entries(seedOf(query))) session(c).set(key, value);
      return "ok";
    },
    // Of the keys that others add, the measurements know the names.
    show(c) {
      const names = ["user", "theme", "visits", "n", ...Array.from({ length: 200 }, (_, n) => `k${n}`)];
      return JSON.stringify(Object.fromEntries(names.map((name) => [name, session(c).get(name) ?? undefined])));
    },
    "sign-in": signIn,
    "sign-out": signOut,
  };
}

/** Data are loaded and saved by calls that return promises. `save` gets the values that change. */
export function loaded({ load, save, signIn, signOut }) {
  return {
    untouched: () => "ok",
    read: async (c) => (await load(c)).user.name,
    async write(c) {
      const { visits } = await load(c);
      await save(c, { visits: visits + 1 });
      return "ok";
    },
    async add(c, query) {
      await load(c);
      await gapOf(query);
      await save(c, { [query.key]: true });
      return "ok";
    },
    async count(c, query) {
      const { n = 0 } = (await load(c)) ?? {};
      await gapOf(query);
      await save(c, { n: n + 1 });
      return "ok";
    },
    async redirect(c, { key }) {
      await save(c, { theme: key });
      return "ok";
    },
    async seed(c, query) {
      await save(c, seedOf(query));
      return "ok";
    },
    show: async (c) => JSON.stringify((await load(c)) ?? {}),
    "sign-in": signIn,
    "sign-out": signOut,
  };
}

/** The user that signs in, and the data that are set then. */
export const signedIn = () => ({ ...structuredClone(DATA), userId: USER_ID });
export { USER_ID };
