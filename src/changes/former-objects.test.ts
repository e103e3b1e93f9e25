import { inspect } from "node:util";
import { describe, expect, it } from "vitest";
import { gated, site, START, type Underway } from "../../test/support/stores.ts";
import type { Session } from "../session.ts";
import { FormerObjects } from "./former-objects.ts";
import { memoryStore } from "../stores/memory.ts";

type Account = { iban?: string; address?: object };
type Data = Record<string, unknown> & { account?: Account; w?: unknown[]; copy?: { nested?: object } };

const alices = () => ({ account: { iban: "secret", address: { street: "secret" } }, list: [], n: 1 });

/** A request of alice's session, which contains what `alices` gives. */
async function aliceRequest() {
  const gate = gated(memoryStore({ clock: () => START }));
  const { browser: newBrowser, ...others } = site<Data>({ store: gate, storeTimeout: "1m" });
  const browser = newBrowser();
  await browser.visit((session) => {
    Object.assign(session.data, alices());
    session.flash("info", { iban: "secret" });
    session.signIn("alice");
  });
  return { ...others, gate, browser, other: browser.copy(), request: await browser.begin() };
}

type Alice = Awaited<ReturnType<typeof aliceRequest>>;

/** Ways to an object of alice's that no key of the request's data holds any more, or another one. */
const WAYS: Record<string, (alice: Alice) => Promise<object> | object> = {
  "removed by pop() and save()": async ({ request: { session } }) => {
    const kept = session.pop("account") as object;
    await session.save();
    return kept;
  },
  "removed from its container before two calls of save()": async ({ request: { session } }) => {
    const kept = session.data.account!.address!;
    delete session.data.account!.address;
    await session.save();
    session.data["n"] = 2;
    await session.save();
    return kept;
  },
  "read before reload()": async ({ request: { session } }) => {
    const kept = session.data.account!;
    await session.reload();
    return kept;
  },
  "read before two calls of reload()": async ({ request: { session } }) => {
    const kept = session.data.account!.address!;
    await session.reload();
    expect(session.data["n"]).toBe(1);
    await session.reload();
    return kept;
  },
  "removed by a save() before reload()": async ({ request: { session } }) => {
    const kept = session.pop("account") as object;
    await session.save();
    await session.reload();
    return kept;
  },
  "read after reload() from data that were kept": async ({ request: { session } }) => {
    const { data } = session;
    expect(data["n"]).toBe(1);
    await session.reload();
    return data.account!;
  },
  "merged into the request's data by a save(), and removed by another": async ({ other, request: { session } }) => {
    await other.visit(({ data }) => void (data["theirs"] = { iban: "secret" }));
    session.data["n"] = 2;
    await session.save();
    const kept = session.pop("theirs") as object;
    await session.save();
    return kept;
  },
  "removed by another request, and by a save() that merged": async ({ other, request: { session } }) => {
    const kept = session.data.account!;
    await other.visit(({ data }) => void delete data.account);
    session.data["n"] = 2;
    await session.save();
    return kept;
  },
  "separated from another place by a save() that merged": async ({ other, request: { session } }) => {
    session.data.copy = session.data.account as object;
    await other.visit(({ data }) => void (data["n"] = 5));
    await session.save();
    const kept = session.data.copy;
    expect(kept).not.toBe(session.data.account!);
    return kept;
  },
  "separated, and removed before another save()": async ({ other, request: { session } }) => {
    session.data.copy = { nested: session.data.account! };
    await other.visit(({ data }) => void (data["n"] = 5));
    await session.save();
    const kept = session.data.copy.nested!;
    delete session.data.copy;
    await session.save();
    return kept;
  },
  "stored by the request itself": async ({ request: { session } }) => {
    const kept = { iban: "secret" };
    session.data["mine"] = kept;
    await session.save();
    delete session.data["mine"];
    await session.save();
    return kept;
  },
  "shown by takeFlashes()": ({ request: { session } }) => session.takeFlashes()[0]!.message as object,
};

/** Ways to give such an object to the next user. */
const USES: Record<string, (session: Session<Data>, kept: object) => void> = {
  "is assigned": ({ data }, kept) => void Object.assign(data, { w: kept }),
  "is assigned at depth": ({ data }, kept) =>
    void Object.assign(data, { w: { own: 1, list: [new Map([["k", kept]])] } }),
  "is put into an array that was created": ({ data }, kept) => void (data.w ??= []).push(kept),
  "is given by an update": (session, kept) => void session.update("w", () => [{ kept }]),
  "is put into an updated value": (session, kept) => {
    session.update("w", (list: unknown[] = []) => list);
    session.data.w!.push(kept);
  },
  "is flashed": (session, kept) => session.flash("info", { kept }),
};

const uses = Object.keys(WAYS).flatMap((way) => Object.keys(USES).map((use) => [way, use] as const));

/** Everything in a value, Maps too. */
const textOf = (value: unknown) => inspect(value, { depth: 20 });

const flashesOf = ({ session }: Underway<Data>) => session.takeFlashes();

describe("An object of the former user", () => {
  it.each(uses)("%s does not reach the next user when it %s", async (way, use) => {
    const alice = await aliceRequest();
    const { session, end } = alice.request;
    const kept = await WAYS[way]!(alice);
    expect(textOf(kept)).toContain("secret");
    USES[use]!(session, kept);
    session.data["own"] = { by: "this request" };
    session.signIn("bob");
    expect(textOf(session.data)).not.toContain("secret");
    await end();
    const bob = await alice.browser.begin();
    expect(bob.session.userId).toBe("bob");
    expect(textOf([bob.session.data, flashesOf(bob)])).not.toContain("secret");
    expect(bob.session.data["own"]).toEqual({ by: "this request" });
  });

  it("that is flashed again alone is not shown to the next user, and other flashes are", async () => {
    const { browser, request } = await aliceRequest();
    request.session.flash("info", request.session.data.account!);
    request.session.flash("info", { text: "Hello" });
    request.session.signIn("bob");
    await request.end();
    expect(flashesOf(await browser.begin())).toEqual([{ category: "info", message: { text: "Hello" } }]);
  });
});

/** Ways by which the library itself copies an object of alice's, or brings another one of hers, before bob signs in. */
const COPIES: Record<string, (alice: Alice) => Promise<unknown> | void> = {
  "put into what an update of the same key has given": ({ request: { session } }) => {
    const { address } = session.data.account!;
    session.update("account", () => ({}));
    session.data.account!.address = address!;
  },
  "given by another request to an updated value while its save is under way": async (alice) => {
    const { session } = alice.request;
    session.update("account", (account) => ({ address: account! }));
    await alice.other.visit(({ data }) => void Object.assign(data, { account: "secret" }));
    const update = alice.gate.hold("update");
    const saving = session.save();
    await update.arrived;
    session.signIn("bob");
    update.letGo();
    await saving;
  },
  "copied by a sign-in that takes the place of another": ({ request: { session } }) => {
    session.data["w"] = session.data.account as unknown as unknown[];
    session.signIn("bob");
    session.update("w", (w) => w ?? []);
    session.signIn("bob");
  },
  "flashed, taken again and assigned": ({ request: { session } }) => {
    session.flash("info", session.data.account);
    session.data["w"] = session.takeFlashes().map(({ message }) => message);
  },
  "flashed while a save is under way": async ({ gate, request: { session } }) => {
    session.data["n"] = 2;
    const update = gate.hold("update");
    const saving = session.save();
    await update.arrived;
    session.flash("info", { kept: session.data.account });
    update.letGo();
    await saving;
  },
  "given to an update that was made again": async ({ other, request: { session } }) => {
    const kept: unknown[] = [];
    session.update("account", (account) => {
      kept.push(account);
      return account!;
    });
    await other.visit(({ data }) => void (data.account!.iban = "secret of another request"));
    session.data["n"] = 2;
    await session.save();
    session.data["w"] = kept;
  },
  "given to an update that a save under way has made again": async ({ gate, other, request: { session } }) => {
    const kept: unknown[] = [];
    await other.visit(({ data }) => void (data.account!.iban = "secret of another request"));
    session.data["n"] = 2;
    const update = gate.hold("update");
    const saving = session.save();
    await update.arrived;
    session.update("account", (account) => {
      kept.push(account);
      return account!;
    });
    update.letGo();
    await saving;
    session.data["w"] = kept;
  },
};

describe("A copy of a former user's object", () => {
  it("is known by what it was copied from, also where that is a copy itself or is known only later", () => {
    const former = new FormerObjects();
    const [original, copy, second, later] = [{}, {}, {}, {}] as const;
    former.copied(copy, original);
    former.copied(later, original);
    former.add({ all: [copy] });
    former.copied(second, copy);
    expect([original, copy, second, later].map((object) => former.has(object))).toEqual([false, true, true, false]);
    former.add({ all: [original] });
    expect(former.has(later)).toBe(true);
  });

  it.each(Object.keys(COPIES))("does not reach the next user when it was %s", async (way) => {
    const alice = await aliceRequest();
    const { session, end } = alice.request;
    await COPIES[way]!(alice);
    session.data["own"] = { by: "this request" };
    if (session.userId !== "bob") session.signIn("bob");
    expect(textOf(session.data)).not.toContain("secret");
    await end();
    const bob = await alice.browser.begin();
    expect(bob.session.userId).toBe("bob");
    expect(textOf([bob.session.data, flashesOf(bob)])).not.toContain("secret");
    expect(bob.session.data["own"]).toEqual({ by: "this request" });
  });
});

describe("A former user whose session has ended elsewhere", () => {
  const noticed: Record<string, (session: Session<Data>) => Promise<unknown>> = {
    "save()": async (session) => {
      session.data["n"] = 2;
      await session.save();
    },
    "reload()": (session) => session.reload(),
  };

  it.each(Object.keys(noticed))("leaves no object to the next user after a %s that noticed it", async (how) => {
    const { browser, sessions, request } = await aliceRequest();
    const { session, end } = request;
    const account = session.data.account!;
    await sessions.revokeAll("alice");
    await noticed[how]!(session);
    session.data.account = account;
    session.data["own"] = 1;
    session.signIn("bob");
    expect(session.toJSON()).toEqual({ own: 1 });
    await end();
    expect(await browser.data()).toEqual({ own: 1 });
  });

  it("is given back an object that was kept, by signing in again", async () => {
    const { browser, sessions, request } = await aliceRequest();
    const account = request.session.data.account!;
    await sessions.revokeAll("alice");
    await request.session.reload();
    request.session.data.account = account;
    request.session.signIn("alice");
    await request.end();
    expect(await browser.data()).toEqual({ account: alices().account });
  });
});

describe("An object of this request's own", () => {
  it("reaches the next user where it was assigned before a reload() and is assigned again", async () => {
    const { browser, request } = await aliceRequest();
    const own = { note: "mine" };
    Object.assign(request.session.data, { w: own });
    await request.session.reload();
    Object.assign(request.session.data, { w: own });
    request.session.signIn("bob");
    await request.end();
    expect(await browser.data()).toEqual({ w: { note: "mine" } });
  });

  it("reaches the next user where a save() that failed was to store it", async () => {
    const { browser, request } = await aliceRequest();
    const own = { note: "mine" };
    Object.assign(request.session.data, { w: own, wrong: () => 1 });
    await expect(request.session.save()).rejects.toThrow(TypeError);
    request.session.data["v"] = own;
    request.session.signIn("bob");
    await request.end();
    expect(await browser.data()).toEqual({ v: { note: "mine" } });
  });

  it("stays under a key that may stay, though it was stored before", async () => {
    const shop = site<Data>();
    const browser = shop.browser();
    const { session, end } = await browser.begin();
    const draft = { text: "mine" };
    session.data["draft"] = draft;
    session.data["again"] = draft;
    await session.save();
    session.data["note"] = { of: session.data["draft"] };
    session.signIn("alice", { keep: ["draft", "note"] });
    await end();
    expect(await browser.data()).toEqual({ draft: { text: "mine" }, note: { of: { text: "mine" } } });
  });
});
