import { inspect } from "node:util";
import { describe, expect, it } from "vitest";
import { site, type Underway } from "../../test/support/stores.ts";
import type { Session } from "../session.ts";

type Account = { iban?: string; address?: object };
type Data = Record<string, unknown> & { account?: Account; w?: unknown[]; copy?: { nested?: object } };

const alices = () => ({ account: { iban: "secret", address: { street: "secret" } }, list: [], n: 1 });

/** A request of alice's session, which contains what `alices` gives. */
async function aliceRequest() {
  const outage = { isOn: false };
  const shop = site<Data>({ storeTimeout: "1m", faults: { update: () => (outage.isOn ? "error" : "ok") } });
  const browser = shop.browser();
  await browser.visit((session) => {
    Object.assign(session.data, alices());
    session.flash("info", { iban: "secret" });
    session.signIn("alice");
  });
  return { site: shop, outage, browser, other: browser.copy(), request: await browser.begin() };
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
  "read before reload(), when the session had ended": async ({ site: { sessions }, request: { session } }) => {
    const kept = session.data.account!;
    await sessions.revokeAll("alice");
    await session.reload();
    return kept;
  },
  "read before a save() that found the session ended": async ({ site: { sessions }, request: { session } }) => {
    const kept = session.data.account!;
    await sessions.revokeAll("alice");
    session.data["n"] = 2;
    await session.save();
    return kept;
  },
  "read after the session had ended from data that were kept": async ({ site: { sessions }, request: { session } }) => {
    const { data } = session;
    await sessions.revokeAll("alice");
    await session.reload();
    return data.account!;
  },
  "read before signOut()": ({ request: { session } }) => {
    const kept = session.data.account!;
    session.signOut();
    return kept;
  },
  "stored by a session of nobody's after signOut()": async ({ request: { session } }) => {
    const kept = session.data.account!;
    session.signOut();
    session.data["n"] = kept;
    await session.save();
    return kept;
  },
  "copied by toJSON() and stored by a session of nobody's after signOut()": async ({ request: { session } }) => {
    const kept = session.toJSON()["account"] as object;
    session.signOut();
    session.data["n"] = kept;
    await session.save();
    return kept;
  },
  "copied by toJSON()": ({ request: { session } }) => session.toJSON()["account"] as object,
  "copied by toJSON() before its key was assigned": ({ request: { session } }) => {
    const kept = session.toJSON()["account"] as object;
    session.data.account = {};
    return kept;
  },
  "flashed and taken again": ({ request: { session } }) => {
    session.flash("again", { of: session.data.account! });
    return session.takeFlashes("again")[0]!.message as object;
  },
  "copied for an update that was made again over another user's view": ({ request: { session } }) => {
    session.data["mine"] = session.data.account;
    session.signIn("bob");
    session.update("mine", (value = 0) => value);
    session.signIn("alice");
    return session.data["mine"] as object;
  },
  "seen by an update that was made again by a merge": async ({ other, request: { session } }) => {
    let kept: object = {};
    session.update("account", (account: Account = {}) => (kept = account));
    await other.visit(({ data }) => void Object.assign(data.account!, { more: "secret" }));
    await session.save();
    return kept;
  },
  "seen by the function of an update that a merge called": async ({ other, request: { session } }) => {
    let kept: object = {};
    session.update("list", (list: unknown) => {
      kept = list as object;
      return 1;
    });
    await other.visit(({ data }) => void (data["list"] as unknown[]).push("secret"));
    await session.save();
    return kept;
  },
  "given to an update that a sign-in with keep called again, before signOut()": async ({ request: { session } }) => {
    let kept: object = {};
    session.update("account", (account: Account = {}) => (kept = account));
    session.signIn("alice", { keep: ["account"] });
    await session.save();
    session.signOut();
    return kept;
  },
  "first read while a save() was under way that failed": async (alice) => {
    const { session } = alice.request;
    session.data["n"] = 2;
    alice.outage.isOn = true;
    const saving = session.save();
    const kept = session.data.account!;
    await expect(saving).rejects.toMatchObject({ code: "ERR_SESSION_STORE" });
    alice.outage.isOn = false;
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

  it("does not reach the next user when it is put into a value that an update of its own key gave", async () => {
    const { browser, request } = await aliceRequest();
    const kept = request.session.data.account!;
    request.session.update("account", () => ({}));
    request.session.data.account!.address = kept;
    request.session.signIn("bob");
    expect(request.session.data).toEqual({ account: {} });
    await request.end();
    expect(await browser.data()).toEqual({ account: {} });
  });

  it("does not reach the next user when it moves inside a value that an update gave back", async () => {
    const { browser, request } = await aliceRequest();
    request.session.update("account", (account: Account = {}) => account);
    const account = request.session.data.account as Account & { second?: object };
    account.second = account.address!;
    request.session.signIn("bob");
    expect(request.session.data).toEqual({ account: {} });
    await request.end();
    expect(await browser.data()).toEqual({ account: {} });
  });

  it("does not reach the next user when it lies between two updates that copy its values", async () => {
    const { browser, request } = await aliceRequest();
    const { session } = request;
    const kept = session.data.account!;
    session.update("w", (list: unknown[] = []) => list);
    session.data.w!.push(kept);
    session.update("w", (list = []) => list.map((item) => ({ ...(item as object) })));
    session.signIn("bob");
    expect(textOf(session.data)).not.toContain("secret");
    await request.end();
    expect(textOf(await browser.data())).not.toContain("secret");
  });

  it("does not reach the next user by an update under a key that may stay, made again by a merge", async () => {
    const shop = site<Data>();
    const browser = shop.browser();
    await browser.visit(({ data }) => void Object.assign(data, { ...alices(), w: [] }));
    const { session, end } = await browser.begin();
    const kept = session.data.account!;
    session.update("w", (list: unknown[] = []) => [...list, kept]);
    session.signIn("bob", { keep: ["w"] });
    await browser.copy().visit(({ data }) => void data.w!.push("theirs"));
    await end();
    expect(await browser.data()).toEqual({ w: ["theirs"] });
  });

  it("does not reach the next user in a flash that a session of nobody's has stored", async () => {
    const { browser, request } = await aliceRequest();
    const { session, end } = request;
    const kept = session.data.account!;
    session.signOut();
    session.flash("info", { text: "Goodbye", kept });
    await session.save();
    session.signIn("bob");
    await end();
    expect(flashesOf(await browser.begin())).toEqual([{ category: "info", message: { text: "Goodbye" } }]);
  });

  it("does not reach the next user who signs in while the session is being extended", async () => {
    const { site: shop, browser } = await aliceRequest();
    shop.time.now += 10 * 60_000;
    const { session, end } = await browser.begin();
    const kept = session.data.account!;
    const extending = session.save();
    Object.assign(session.data, { own: 1, w: kept });
    session.signIn("bob");
    await extending;
    expect(session.data).toEqual({ own: 1 });
    await end();
    expect(shop.store.calls.touch).toBe(1);
    expect(await browser.data()).toEqual({ own: 1 });
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

describe("A former user's text", () => {
  it("does not reach the next user in an array that an update gave back, when an item was put in front", async () => {
    const { browser, request } = await aliceRequest();
    const { session } = request;
    Object.assign(session.data, { words: ["secret b", "secret a"] });
    await session.save();
    session.update("words", (words = []) => words);
    (session.data["words"] as string[]).unshift("own");
    session.signIn("bob");
    await request.end();
    expect(await browser.data()).toEqual({ words: ["own"] });
  });

  const changes: Record<string, (data: Data) => void> = {
    "replaced the list": (data) => void (data["list"] = [{ t: "secret" }]),
    "put another kind in its place": (data) => void (data["list"] = { t: "secret" }),
    "put a text in its place": (data) => void (data["list"] = "secret"),
    "added to the list": (data) => void (data["list"] as unknown[]).push("secret"),
    "removed it": (data) => void delete data["list"],
  };
  it.each(Object.keys(changes))(
    "does not reach the next user who signs in while an update is being stored, where another request %s",
    async (other) => {
      const alice = await aliceRequest();
      const { session, end } = alice.request;
      session.update("list", (list: unknown) => ({ rows: list ?? 0 }));
      await alice.other.visit(({ data }) => changes[other]!(data));
      const saving = session.save();
      session.data["own"] = 1;
      session.signIn("bob");
      await saving;
      expect(textOf(session.data)).not.toContain("secret");
      await end();
      expect(await alice.browser.data()).toEqual({ list: { rows: 0 }, own: 1 });
    },
  );

  it("does not reach the next user by an update that another sign-in has made again over it", async () => {
    const { browser, request } = await aliceRequest();
    const { session, end } = request;
    session.signIn("bob");
    session.data.account ??= {};
    session.update("account", (account) => ({ ...account }));
    session.signIn("alice");
    expect(session.data.account).toMatchObject({ iban: "secret" });
    session.signIn("bob");
    expect(session.data).toEqual({ account: {} });
    await end();
    expect(await browser.data()).toEqual({ account: {} });
  });

  it("does not reach the next user in a list that both requests created during a save", async () => {
    const alice = await aliceRequest();
    const { session, end } = alice.request;
    await alice.other.visit(({ data }) => void (data.w = ["secret"]));
    session.data["n"] = 2;
    const saving = session.save();
    (session.data.w ??= []).push("own");
    await saving;
    expect(session.data.w).toEqual(["secret", "own"]);
    session.signIn("bob");
    await end();
    expect(await alice.browser.data()).toEqual({ w: ["own"] });
  });
});

describe("An update whose save fails", () => {
  it("is made once, also when another user's sign-in was asked for and withdrawn", async () => {
    const { browser, outage, request } = await aliceRequest();
    const { session, end } = request;
    outage.isOn = true;
    session.update("n", (n) => Number(n) + 1);
    const saving = session.save();
    session.signIn("bob");
    await expect(saving).rejects.toMatchObject({ code: "ERR_SESSION_STORE" });
    outage.isOn = false;
    session.signIn("alice");
    expect(session.data["n"]).toBe(2);
    await session.save();
    await end();
    expect((await browser.data())["n"]).toBe(2);
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
