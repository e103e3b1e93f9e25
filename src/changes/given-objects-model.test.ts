import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { site, type Site } from "../../test/support/stores.ts";
import { kindOf, type Dictionary } from "./codec.ts";
import { copyOf, isObject, objectsIn } from "./containers.ts";

/**
 * Handlers at random, over alice's data. They keep objects of hers in every way there is, and put them wherever they can,
 * until another user signs in. Everything of hers carries a mark, and nothing of the handler's own does: so no mark may be
 * in what the next user sees, or in what is stored for that user.
 */

const MARK = "alice's";
const KEYS = ["object", "list", "map", "set", "words", "a", "b"];

/** As many handlers run. GIVEN_RUNS sets another number. */
const RUNS = Number(process.env["GIVEN_RUNS"] ?? 400);

const alices = (): Dictionary => ({
  object: { text: MARK, inner: { text: MARK, list: [{ text: MARK }] } },
  list: [{ text: MARK }, { text: MARK, at: new Date(5) }],
  map: new Map([["k", { text: MARK }]]),
  set: new Set([{ text: MARK }]),
  words: [`${MARK} b`, `${MARK} a`],
});

/** What a handler does next. The numbers choose among the keys, the objects, the ways. */
interface Call {
  readonly name: keyof typeof CALLS;
  readonly key: string;
  readonly which: number;
  readonly how: number;
}

/** One request under way. */
class Handler {
  readonly site: Site<Dictionary>;
  readonly session;
  readonly browser;
  readonly outage: { isOn: boolean };
  readonly kept: object[] = [];
  readonly formerData: Dictionary[] = [];
  readonly saving = new Set<Promise<unknown>>();
  /** The user who signs in, or has signed in. `undefined`: nobody, after a sign-out. */
  user: string | undefined = "alice";
  wasStoredByNobody = false;
  count = 0;

  constructor(from: Awaited<ReturnType<typeof begin>>) {
    this.site = from.shop;
    this.session = from.request.session;
    this.browser = from.browser;
    this.outage = from.outage;
  }

  /** Alice's objects are the next user's only where they are assigned after the sign-in, which the model leaves out. */
  get mayUse(): boolean {
    return this.kept.length > 0 && (this.user === "alice" || this.user === undefined);
  }

  keep(value: unknown, which: number): void {
    if (this.user !== "alice" || !isObject(value)) return;
    const objects = objectsIn(value);
    this.kept.push(objects[which % objects.length]!);
  }

  one(which: number): object {
    return this.kept[which % this.kept.length]!;
  }

  fresh(how: number): unknown {
    const own = { own: (this.count += 1) };
    return [own, [own], new Map([["m", own]]), new Set([own]), this.count, []][how % 6];
  }

  wrapped(which: number, how: number): unknown {
    const one = this.one(which);
    const own = this.fresh(how);
    return [
      one,
      { one, own },
      [own, one],
      new Map<unknown, unknown>([["w", one]]),
      new Map<unknown, unknown>([[one, 1]]),
      new Set([one, own]),
      Object.freeze({ one }),
      { first: one, second: one },
      { deep: [{ one }] },
    ][how % 9];
  }

  /** A container in a key's value that can be changed. */
  container(key: string, which: number): object | undefined {
    const value = this.session.data[key];
    const found = objectsIn(value).filter((object) => kindOf(object) !== "leaf" && !Object.isFrozen(object));
    return found[which % Math.max(1, found.length)];
  }

  signIn(userId: string, keep?: readonly string[]): void {
    this.session.signIn(userId, keep && { keep });
    this.user = userId;
  }
}

function put(container: object, value: unknown, how: number): void {
  // No cycle, which can't be stored.
  if (objectsIn(value).includes(container)) return;
  if (Array.isArray(container)) {
    if (how % 2) container.push(value);
    else container.unshift(value);
  } else if (container instanceof Map) container.set(`z${how % 2}`, value);
  else if (container instanceof Set) container.add(value);
  else (container as Dictionary)[`z${how % 2}`] = value;
}

/** Bytes can't be frozen. */
const freeze = (object: object): void => void (ArrayBuffer.isView(object) || Object.freeze(object));

function removeFirst(container: object): void {
  if (Array.isArray(container)) container.shift();
  else if (container instanceof Map || container instanceof Set) {
    for (const key of container.keys()) return void container.delete(key);
  } else for (const key of Object.keys(container)) return void delete (container as Dictionary)[key];
}

/** A move inside the data: of an object, which the library knows. A text that a handler moves is its own. */
function move(container: object): void {
  const values = container instanceof Map ? [...container.values()] : Object.values(container);
  const object = values.find(isObject);
  if (object && !(container instanceof Set)) put(container, object, 1);
}

const CALLS = {
  keep: (h, { key, which }) => h.keep(h.session.data[key], which),
  keepCopy: (h, { key, which }) => h.keep(h.session.toJSON()[key], which),
  keepPopped: (h, { key, which }) => h.keep(h.session.pop(key), which),
  keepFlashed: (h, { which }) => h.session.takeFlashes().forEach(({ message }) => h.keep(message, which)),
  keepUpdated: (h, { key, which }) =>
    void h.session.update(key, (value) => {
      h.keep(value, which);
      return value ?? 0;
    }),
  keepData: (h) => void (h.user === "alice" && h.formerData.push(h.session.data)),
  keepOfFormerData: (h, { key, which }) => h.formerData.forEach((data) => h.keep(data[key], which)),
  keepRemoved: (h, { key, which }) => {
    const container = h.container(key, which);
    h.keep(container, which);
    if (container) removeFirst(container);
  },
  assign: (h, { key, which, how }) => void (h.mayUse && (h.session.data[key] = h.wrapped(which, how))),
  insert: (h, { key, which, how }) => {
    const container = h.container(key, which);
    if (h.mayUse && container) put(container, h.wrapped(which, how), how);
  },
  updateToKept: (h, { key, which, how }) => {
    const value = h.mayUse ? h.wrapped(which, how) : 0;
    h.session.update(key, () => value);
  },
  flashKept: (h, { which, how }) => void (h.mayUse && h.session.flash("kept", h.wrapped(which, how))),
  assignAndSignIn: (h, { key, which, how }) => {
    if (h.kept.length > 0) h.session.data[key] = h.wrapped(which, how);
    h.signIn(h.user === "bob" ? "carol" : "bob");
  },
  own: (h, { key, how }) => void (h.session.data[key] = h.fresh(how)),
  create: (h, { key }) => void (h.session.data[key] ??= key === "a" ? { list: [] } : []),
  change: (h, { key, which, how }) => {
    const container = h.container(key, which);
    if (container) put(container, h.fresh(how), how);
  },
  move: (h, { key, which }) => {
    const container = h.container(key, which);
    if (container) move(container);
  },
  flash: (h, { how }) => h.session.flash("own", h.fresh(how)),
  delete: (h, { key }) => void delete h.session.data[key],
  update: (h, { key }) => void h.session.update(key, (value) => value ?? {}),
  updateWrapped: (h, { key }) => void h.session.update(key, (value) => ({ value: value ?? 0 })),
  updateOwn: (h, { key, how }) => void h.session.update(key, () => h.fresh(how)),
  // A text that the handler copies is its own.
  updateSpread: (h, { key }) =>
    void h.session.update(key, (value) => {
      if (!isObject(value) || kindOf(value) !== "object") return value ?? {};
      return Object.fromEntries(Object.entries(value).filter(([, part]) => isObject(part)));
    }),
  updateInPlace: (h, { key, how }) =>
    void h.session.update(key, (value = []) => {
      if (isObject(value) && kindOf(value) !== "leaf" && !Object.isFrozen(value)) put(value, how, how);
      return value;
    }),
  freeze: (h, { key, which }) => {
    const container = h.container(key, which);
    if (container) Object.freeze(container);
  },
  freezeDeeply: (h, { key }) => objectsIn(h.session.data[key]).forEach((object) => freeze(object)),
  // It may throw at once, or only when a sign-in makes it again where there is nothing.
  updateThatNeedsValue: (h, { key }) =>
    void h.session.update(key, (value) => {
      if (!isObject(value)) throw new Error("There is no value");
      return value;
    }),
  // What it has changed until then stays, like any change in place.
  updateThatThrows: (h, { key, how }) =>
    void h.session.update(key, (value) => {
      if (isObject(value) && kindOf(value) !== "leaf" && !Object.isFrozen(value)) put(value, h.fresh(how), how);
      if (how % 3 > 0) throw new Error("The update fails");
      return value ?? 0;
    }),
  updateThatThrowsAgain: (h, { key, how }) => {
    let calls = 0;
    h.session.update(key, (value) => {
      calls += 1;
      if (calls > 1 + (how % 2)) throw new Error("The update fails when it is made again");
      return value ?? 0;
    });
  },
  save: async (h) => {
    await h.session.save();
    if (h.user === undefined) h.wasStoredByNobody = true;
  },
  saveMeanwhile: (h) => {
    const saving: Promise<void> = h.session
      .save()
      .catch(() => {})
      .finally(() => h.saving.delete(saving));
    h.saving.add(saving);
  },
  turn: () => Promise.resolve(),
  // What somebody stores for nobody is nobody's: the next request would have it too.
  reload: (h) => (h.wasStoredByNobody ? undefined : h.session.reload()),
  outage: (h) => void (h.outage.isOn = !h.outage.isOn),
  other: async (h, { key, how }) => {
    const { session, end } = await h.browser.copy().begin();
    if (session.userId !== "alice") return;
    const value = [{ text: MARK }, [{ text: MARK }], new Map([["k", { text: MARK }]]), MARK][how % 4];
    const container = session.data[key];
    if (how % 3 === 0) delete session.data[key];
    else if (how % 3 === 1 && isObject(container) && kindOf(container) !== "leaf") put(container, value, how);
    else session.data[key] = value;
    await end();
  },
  signOut: (h) => {
    h.session.signOut();
    h.user = undefined;
  },
  signInBob: (h) => h.signIn("bob"),
  signInBobKeeping: (h) => h.signIn("bob", ["object", "a"]),
  signInCarol: (h) => h.signIn("carol"),
  // Alice again shows her data again: what is kept then was never the other user's.
  signInAlice: (h) => void (h.user !== undefined && h.signIn("alice")),
  signInSame: (h, { how }) => {
    if (h.user !== undefined) h.signIn(h.user, how % 3 === 0 ? ["object", "list", "a"] : undefined);
  },
  revoke: (h) => h.site.sessions.revokeAll("alice"),
} satisfies Record<string, (handler: Handler, call: Call) => unknown>;

async function begin() {
  const outage = { isOn: false };
  const fault = () => (outage.isOn ? "error" : "ok");
  const faults = { update: fault, create: fault, delete: fault };
  const shop = site<Dictionary>({ storeTimeout: "1m", faults });
  const browser = shop.browser();
  await browser.visit((session) => {
    Object.assign(session.data, alices());
    session.flash("stored", { text: MARK });
    session.signIn("alice");
  });
  return { shop, outage, browser, request: await browser.begin() };
}

const textOf = (value: unknown): string =>
  JSON.stringify(copyOf(value), (_, part: unknown) => (part instanceof Map || part instanceof Set ? [...part] : part));

async function run(calls: readonly Call[]): Promise<void> {
  const began = await begin();
  const handler = new Handler(began);
  const { session } = handler;
  const isOthers = () => handler.user === "bob" || handler.user === "carol";
  for (const call of calls) {
    try {
      // oxlint-disable-next-line no-await-in-loop -- a handler does one thing after another.
      await CALLS[call.name](handler, call);
    } catch {
      // A handler may go on after an error.
    }
    // A sign-in that is asked for while another one is being stored hides data after that.
    if (isOthers() && handler.saving.size === 0 && session.userId === handler.user)
      expect(textOf(session.toJSON())).not.toContain(MARK);
  }
  await Promise.all(handler.saving);
  handler.outage.isOn = false;
  try {
    if (!isOthers()) handler.signIn("bob");
  } catch {
    // An update fails where there is nothing before: nobody else has signed in.
  }
  try {
    await began.request.end();
  } catch {
    return;
  }
  const next = (await began.browser.begin()).session;
  if (next.userId === "alice") return;
  expect(textOf(next.toJSON())).not.toContain(MARK);
  expect(textOf(next.takeFlashes())).not.toContain(MARK);
}

/** Calls that change nothing of what a handler sees, but for what a sign-in hides. */
const HIDING: readonly Call["name"][] = [
  "keep",
  "keepCopy",
  "updateThatNeedsValue",
  "signInBob",
  "signInBob",
  "signInBobKeeping",
  "signInCarol",
  "signInSame",
];

/** Hides data by sign-ins, and brings them back by one of the session's own user. */
async function hideAndShow(calls: readonly Call[], hiding: readonly Call[]): Promise<void> {
  const began = await begin();
  const handler = new Handler(began);
  const { session } = handler;
  const attempt = async (all: readonly Call[]) => {
    for (const call of all) {
      try {
        // oxlint-disable-next-line no-await-in-loop -- a handler does one thing after another.
        await CALLS[call.name](handler, call);
      } catch {
        // A handler may go on after an error.
      }
    }
  };
  await attempt(calls);
  await Promise.all(handler.saving);
  if (handler.user !== "alice" || session.userId !== "alice") return;
  session.signIn("alice");
  const before = textOf(session.toJSON());
  await attempt(hiding);
  session.signIn("alice");
  expect(textOf(session.toJSON())).toBe(before);
  handler.outage.isOn = false;
  await began.request.end();
  expect(textOf((await began.browser.begin()).session.toJSON())).toBe(before);
}

const callOf = (...names: readonly Call["name"][]) =>
  fc.record<Call>({
    name: fc.constantFrom(...names),
    key: fc.constantFrom(...KEYS),
    which: fc.nat(30),
    how: fc.nat(30),
  });

const parameters = { seed: Number(process.env["GIVEN_SEED"] ?? 12), numRuns: RUNS };

describe("A handler", () => {
  it("sees again all that other sign-ins have hidden, when the session's own user signs in after them", async () => {
    const others: readonly string[] = [
      "other",
      "revoke",
      "signOut",
      "saveMeanwhile",
      "outage",
      "updateThatThrowsAgain",
    ];
    const names = (Object.keys(CALLS) as Call["name"][]).filter((name) => !others.includes(name));
    const calls = fc.array(callOf(...names), { maxLength: 8, size: "max" });
    const hiding = fc.array(callOf(...HIDING), { minLength: 1, maxLength: 5, size: "max" });
    await fc.assert(fc.asyncProperty(calls, hiding, hideAndShow), parameters);
  });

  it("gives no other user anything of the former one's, in whatever order it keeps, stores and assigns", async () => {
    const call = callOf(...(Object.keys(CALLS) as Call["name"][]));
    const calls = fc.array(call, { minLength: 3, maxLength: 14, size: "max" });
    await fc.assert(fc.asyncProperty(calls, run), parameters);
  });
});
