import { expect, it } from "vitest";
import { KEYS, site, START, type SiteOptions } from "../../test/support/stores.ts";
import type { FormerSession, FormerSessions } from "../former.ts";

const HOUR = 3_600_000;
const ADA: FormerSession = { userId: "ada", data: { cart: ["tea"] }, expiresAt: START + HOUR };
function library() {
  const sessions = new Map<string, FormerSession>([["one", ADA]]);
  const calls = { find: 0, read: 0, end: 0 };
  const old = { sessions, calls, mode: "ok" as string, source: undefined! as FormerSessions };
  old.source = {
    name: "old",
    cookies: [{ name: "old" }],
    find(valuesOf) {
      calls.find++;
      return valuesOf("old").flatMap((key) => (key.startsWith("forged") ? [] : [{ key }]));
    },
    async read({ key }) {
      calls.read++;
      if (old.mode === "hang") return new Promise(() => {});
      if (old.mode === "down") throw new Error("down");
      return sessions.get(key);
    },
    async end(key) {
      calls.end++;
      if (old.mode === "hang") return new Promise(() => {});
      if (old.mode === "down") throw new Error("down");
      sessions.delete(key);
    },
  };
  return old;
}
function moved(options: SiteOptions = {}, old = library()) {
  const server = site<any>({ adopt: [old.source], ...options });
  const former = (value = "one", sessions = server.sessions) => {
    const b = server.browser().copy(sessions);
    b.jar.set("old", value);
    return b;
  };
  const ids = async () => {
    const l: string[] = [];
    for await (const id of server.backend.all!()) l.push(id);
    return l;
  };
  return { ...server, old, former, ids };
}
const tryit = async (name: string, f: () => Promise<unknown>) => {
  let r;
  try {
    r = await f();
  } catch (e: any) {
    r = `THROW ${e.name} ${e.status} ${e.code} ${e.message} <- ${e.cause?.message ?? ""}`;
  }
  console.log(name, "=>", typeof r === "string" ? r : JSON.stringify(r));
};

it("probes", async () => {
  const two = (keep: boolean) => {
    const a = library(),
      b = library();
    const m = site<any>({
      adopt: [
        { ...a.source, keepCookies: keep },
        {
          ...b.source,
          name: "older",
          cookies: [{ name: "older" }],
          keepCookies: keep,
          find: (v) => v("older").map((key) => ({ key })),
        },
      ],
    });
    return { m, a, b };
  };
  for (const keep of [false, true])
    for (const when of ["first", "later", "revoked"])
      await tryit(`two sources keep=${keep} signout ${when}`, async () => {
        const { m } = two(keep);
        const f = m.browser();
        f.jar.set("old", "one");
        f.jar.set("older", "one");
        if (when !== "first") await f.visit(() => {});
        if (when === "revoked") await m.sessions.revokeAll("ada");
        else
          await f.visit((s) => {
            s.signOut();
          });
        const jar = [...f.jar.keys()];
        return { jar, u: await f.userId() };
      });
  await tryit("empty visitor", async () => {
    const m = moved();
    m.old.sessions.set("one", { data: {} });
    const f = m.former();
    await f.visit(() => {});
    return { ids: await m.ids(), jar: [...f.jar.keys()], c: m.store.calls.total };
  });
  await tryit("signIn nul", async () => {
    const m = moved();
    const f = m.browser();
    await f.visit((s) => s.signIn("a\0b"));
    return "accepted";
  });
  await tryit("signIn surrogate", async () => {
    const m = moved();
    const f = m.browser();
    await f.visit((s) => s.signIn("\ud800"));
    return { l: (await m.sessions.list("\ud800")).length, l2: (await m.sessions.list("\ufffd")).length };
  });
  await tryit("adopt surrogate", async () => {
    const m = moved({ encrypted: true });
    m.old.sessions.set("one", { ...ADA, userId: "\ud800" });
    const f = m.former();
    await f.visit(() => {});
    return {
      u: await f.userId(),
      l: (await m.sessions.list("\ud800")).length,
      l2: (await m.sessions.list("\ufffd")).length,
    };
  });
  await tryit("refused user signs in old lib, then own revoke", async () => {
    const m = moved();
    await m.sessions.revokeAll("ada");
    m.time.now += 401 * 24 * HOUR;
    m.old.sessions.set("one", { ...ADA, expiresAt: m.time.now + HOUR });
    const f = m.former();
    await f.visit(() => {});
    return { u: await f.userId() };
  });
  await tryit("signOut everywhere/visitor revoke", async () => {
    const m = moved();
    m.old.sessions.set("one", { data: { cart: 1 } });
    const f = m.former();
    await f.visit((s) => {
      s.data.x = 1;
    });
    const g = m.former();
    await g.visit((s) => s.signIn("eve"));
    return {
      f: await f.userId(),
      fd: await f.data(),
      g: await g.userId(),
      copy: await m.former().userId(),
      copyd: await m.former().data(),
    };
  });
  await tryit("parallel adopt: one signs in as other", async () => {
    const m = moved();
    const f = m.former(),
      g = m.former();
    const [a, b] = await Promise.all([f.begin(), g.begin()]);
    a.session.signIn("eve");
    await a.end();
    b.session.data.n = 5;
    let r;
    try {
      await b.end();
      r = "ok";
    } catch (e: any) {
      r = e.status;
    }
    return { r, f: await f.userId(), g: await g.userId(), fd: await f.data(), jarg: [...g.jar.keys()] };
  });
  await tryit("parallel adopt: one signs out", async () => {
    const m = moved();
    const f = m.former(),
      g = m.former();
    const [a, b] = await Promise.all([f.begin(), g.begin()]);
    b.session.data.n = 5;
    a.session.signOut();
    await a.end();
    let r;
    try {
      await b.end();
      r = "ok";
    } catch (e: any) {
      r = e.status;
    }
    return { r, f: await f.userId(), g: await g.userId(), jarg: [...g.jar.keys()], c: await m.former().userId() };
  });
  await tryit("destroyed by handler then data", async () => {
    const m = moved();
    const f = m.former();
    await f.visit((s) => {
      s.signOut();
      s.data.x = 1;
    });
    return { u: await f.userId(), d: await f.data(), jar: [...f.jar.keys()] };
  });
  await tryit("process without adopt", async () => {
    const m = moved();
    const f = m.former();
    await f.visit(() => {});
    const plain = site<any>({ store: m.backend, clock: () => m.time.now });
    const p = f.copy(plain.sessions);
    const out: any = { sees: await p.userId() };
    try {
      await p.visit((s) => s.signOut());
      out.signedOut = true;
    } catch (e: any) {
      out.err = [e.status, e.message];
    }
    out.old = m.old.sessions.size;
    out.again = await m.former().userId();
    out.own = await f.userId();
    return out;
  });
  await tryit("source renamed", async () => {
    const m = moved();
    const f = m.former();
    await f.visit(() => {});
    const o = library();
    Object.assign(o.source, { name: "new name" });
    const plain = site<any>({ store: m.backend, adopt: [o.source], clock: () => m.time.now });
    const p = f.copy(plain.sessions);
    const out: any = { sees: await p.userId() };
    try {
      await p.visit((s) => s.signOut());
      out.signedOut = true;
    } catch (e: any) {
      out.err = [e.status, e.message];
    }
    return out;
  });
  await tryit("old read late after sign-out", async () => {
    const m = moved();
    let release!: () => void;
    const orig = m.old.source.read;
    let first = true;
    (m.old.source as any).read = async (x: any) => {
      const got = await orig(x);
      if (first) {
        first = false;
        await new Promise<void>((r) => (release = r));
      }
      return got;
    };
    const other = site<any>({
      adopt: [library().source].map((s) => ({ ...s, read: async (x: any) => orig(x), end: m.old.source.end! })),
      store: m.backend,
      clock: () => m.time.now,
    });
    const slow = m.former().begin();
    await new Promise((r) => setTimeout(r, 20));
    const f = m.former("one", other.sessions);
    await f.visit((s) => s.signOut());
    release();
    const s = await slow;
    return { slow: s.session.userId, ids: (await m.ids()).length };
  });
  await tryit("attach then signOut", async () => {
    const m = moved();
    const a = await m.sessions.attach(
      new Request("https://shop.example/", { headers: { cookie: "old=one", origin: "https://shop.example" } }),
    );
    const f = m.former();
    await f.visit((s) => s.signOut());
    return { aborted: a.signal.aborted };
  });
  await tryit("attach cross origin", async () => {
    const m = moved();
    try {
      await m.sessions.attach(
        new Request("https://shop.example/", { headers: { cookie: "old=one", origin: "https://evil.example" } }),
      );
    } catch (e: any) {
      return [e.status, e.message, m.old.calls, m.store.calls.total];
    }
  });
}, 60000);
