import { describe, expect, it } from "vitest";
import { gated, site, START, type Underway } from "../../test/support/stores.ts";
import { memoryStore } from "../stores/memory.ts";

type Data = Record<string, unknown>;

/** A request of alice, who is signed in. Its store can be stopped. */
async function alices() {
  const gate = gated(memoryStore({ clock: () => START }));
  const shop = site<Data>({ store: gate, storeTimeout: "1m" });
  const browser = shop.browser();
  await browser.visit((session) => {
    session.data["secret"] = "alice's";
    session.signIn("alice");
  });
  shop.events.length = 0;
  return { shop, gate, browser, former: browser.copy(), request: await browser.begin() };
}

type Alices = Awaited<ReturnType<typeof alices>>;

/** A save() waits for another one, then comes what is asked, and a reload() waits for both. */
async function reloadBehindSaves(
  { gate, request: { session } }: Alices,
  ask: (session: Underway<Data>["session"]) => unknown,
) {
  session.data["own"] = 1;
  const update = gate.hold("update");
  const saving = [session.save(), session.save()];
  await update.arrived;
  await ask(session);
  const reloading = session.reload();
  update.letGo();
  await Promise.all([...saving, reloading]);
}

/** What is asked comes while a reload() waits for the store. */
async function askWhileReading(
  { gate, request: { session } }: Alices,
  ask: (session: Underway<Data>["session"]) => unknown,
) {
  const read = gate.hold("read", "after");
  const reloading = session.reload();
  await read.arrived;
  await ask(session);
  read.letGo();
  await reloading;
}

/** A save() of what is asked waits for a reload(), which waits for the store. */
async function saveBehindReload(given: Alices, ask: (session: Underway<Data>["session"]) => unknown) {
  let saving: Promise<void> | undefined;
  await askWhileReading(given, async (session) => {
    await ask(session);
    saving = session.save();
  });
  await saving;
}

describe.each([
  ["behind two calls of save()", reloadBehindSaves],
  ["while it waits for the store", askWhileReading],
  ["before a save() that waits for it", saveBehindReload],
])("A reload() %s", (_, when) => {
  it("leaves a sign-out as it is: nothing of the user is shown, and no token is valid any more", async () => {
    const given = await alices();
    const { browser, former, request } = given;
    await when(given, (session) => session.signOut());
    expect([request.session.userId, request.session.toJSON()]).toEqual([undefined, {}]);
    await request.end();
    expect(browser.jar.size).toBe(0);
    expect(await former.userId()).toBeUndefined();
    expect(await given.shop.sessions.list("alice")).toEqual([]);
  });

  it("leaves a rotation as it is: the client gets one new token, and the former one is invalid", async () => {
    const given = await alices();
    const { browser, former, request, shop } = given;
    await when(given, (session) => session.rotate());
    expect([request.session.userId, request.session.data["secret"]]).toEqual(["alice", "alice's"]);
    expect((await request.end()).headers.getSetCookie()).toHaveLength(1);
    expect(browser.cookie).not.toBe(former.cookie);
    expect(await browser.userId()).toBe("alice");
    expect(await former.userId()).toBeUndefined();
    expect(shop.events.filter(({ name }) => name === "rotated")).toHaveLength(1);
  });

  it("brings no session back that was revoked, and sets no cookie", async () => {
    const given = await alices();
    const { browser, request, shop } = given;
    const { id } = request.session;
    await when(given, async () => expect(await shop.sessions.revoke(id)).toBe(true));
    expect((await request.end()).headers.getSetCookie()).toEqual([]);
    await request.session.reload();
    expect([request.session.userId, request.session.toJSON()]).toEqual([undefined, {}]);
    expect(await browser.userId()).toBeUndefined();
    expect(await shop.sessions.list("alice")).toEqual([]);
  });
});

describe("A reload() behind a save()", () => {
  it("shows nothing of a session that was revoked while the save() waited", async () => {
    const given = await alices();
    const { request, shop } = given;
    await reloadBehindSaves(given, () => shop.sessions.revoke(request.session.id));
    expect([request.session.userId, request.session.toJSON()]).toEqual([undefined, {}]);
    expect(shop.events.map(({ name }) => name)).toEqual(["dropped"]);
  });
});
