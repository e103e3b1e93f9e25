import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import { SessionError } from "../../src/errors.ts";
import { createSessions, type Sessions } from "../../src/sessions.ts";
import type { SessionStore } from "../../src/store.ts";
import { Browser, KEYS } from "./stores.ts";
import { until, type Program, type Proxy } from "./throwaway.ts";

/** A real server, a proxy before it, and clients with the options that the documentation recommends. */
export interface OutageWorld {
  readonly server: Pick<Program, "kill" | "restart" | "pause" | "resume">;
  readonly proxy: Proxy;
  /** Makes a new client, which connects through the proxy. */
  connect(): Promise<{ readonly store: SessionStore; end(): Promise<void> }>;
  /** Returns the number of connections to the server, without the one that counts them. */
  connections(): Promise<number>;
  stop(): Promise<void>;
}

export interface OutageCase {
  readonly name: string;
  run(): Promise<void>;
}

interface Data {
  count?: number;
}

const USER_COUNT = 8;
/** The storeTimeout of requests that are expected to fail. */
const SHORT_TIMEOUT_MS = 700;
/** The storeTimeout of requests that are expected to succeed, on a busy machine too. */
const LONG_TIMEOUT_MS = 60_000;

/** The tests of every store with a server, while the server or the network fails. */
export function outageCases(start: () => Promise<OutageWorld>): OutageCase[] {
  return Object.entries(CASES).map(([name, testCase]) => ({
    name,
    async run() {
      const world = await start();
      const stage = await setUp(world);
      try {
        await testCase(stage);
      } finally {
        world.server.resume();
        world.proxy.resumeTraffic();
        await stage.end().catch(() => {});
        await world.stop();
      }
    },
  }));
}

const CASES: Record<string, (stage: Stage) => Promise<void>> = {
  "loses nothing it has acknowledged when the server is killed under load, and recovers by itself": async (stage) => {
    const { world, crowd } = stage;
    const load = stage.load();
    await until("there are writes", () => crowd.every(({ acknowledged }) => acknowledged > 2));
    await world.server.kill();
    await stage.untilOut();
    await world.server.restart();
    await stage.untilBack();
    await load.stop();
    await stage.check();
  },

  "loses nothing it has acknowledged when the server is restarted under load": async (stage) => {
    const load = stage.load();
    await until("there are writes", () => stage.crowd.every(({ acknowledged }) => acknowledged > 2));
    await stage.world.server.restart();
    await stage.untilBack();
    await load.stop();
    await stage.check();
  },

  "answers with an error while the server is paused in the middle of commands, and recovers when it resumes": async (
    stage,
  ) => {
    const { world } = stage;
    const load = stage.load();
    await until("there are writes", () => stage.crowd.every(({ acknowledged }) => acknowledged > 2));
    world.server.pause();
    await stage.untilOut();
    world.server.resume();
    await stage.untilBack();
    await load.stop();
    await stage.check();
  },

  "loses nothing it has acknowledged when connections are cut again and again under load": async (stage) => {
    const load = stage.load();
    for (let cuts = 0; cuts < 5; cuts++) {
      const before = stage.acknowledged();
      await until("there are more writes", () => stage.acknowledged() > before + USER_COUNT);
      stage.world.proxy.cut();
    }
    await stage.untilBack();
    await load.stop();
    await stage.check();
  },

  "answers with an error while connections are refused, and recovers by itself": async (stage) => {
    stage.world.proxy.refuse();
    await stage.untilOut();
    await stage.untilOut();
    stage.world.proxy.accept();
    await stage.untilBack();
    await stage.check();
  },

  "works over a slow network, and answers with an error when it is slower than storeTimeout": async (stage) => {
    const { proxy } = stage.world;
    proxy.delay(20);
    await Promise.all(stage.crowd.map((visitor) => visitor.withLongTimeout((browser) => visitor.write(browser))));
    for (const visitor of stage.crowd) assert.ok(visitor.acknowledged > 0, "a slow network is no outage");
    proxy.delay(2 * SHORT_TIMEOUT_MS);
    await stage.untilOut();
    proxy.delay(0);
    await stage.untilBack();
    await stage.check();
  },

  "answers with an error while an open connection delivers nothing, and recovers": async (stage) => {
    stage.world.proxy.pauseTraffic();
    await stage.untilOut();
    stage.world.proxy.resumeTraffic();
    await stage.untilBack();
    await stage.check();
  },

  "signs nobody in or out and sets no cookie while the server is unreachable": async (stage) => {
    const { world, sessions, sessionsWithLongTimeout, crowd } = stage;
    const [signingOut] = crowd;
    const cookie = signingOut!.browser.cookie;
    world.proxy.refuse();
    const signingIn = new Browser<Data>(sessions);
    await assert.rejects(() => signingIn.visit((session) => session.signIn("late")), isStoreError);
    assert.equal(signingIn.cookie, "");
    await assert.rejects(() => signingOut!.browser.visit((session) => session.signOut()), isStoreError);
    assert.equal(signingOut!.browser.cookie, cookie);
    world.proxy.accept();
    await stage.untilBack();
    await stage.check();
    const retried = signingIn.copy(sessionsWithLongTimeout);
    await retried.visit((session) => session.signIn("late"));
    assert.equal(await retried.userId(), "late");
    await signingOut!.withLongTimeout((browser) => browser.visit((session) => session.signOut()));
    assert.equal(await signingOut!.withLongTimeout((browser) => browser.userId()), undefined);
  },

  "notifies when it is not listening, and is notified of revocations again once the server is back": async (stage) => {
    const { world, store, crowd } = stage;
    if (!store.subscribe) return;
    const notified: string[] = [];
    const states: boolean[] = [];
    const unsubscribe = store.subscribe({
      ended: (id) => notified.push(id),
      listening: (is) => states.push(is),
    });
    const other = await world.connect();
    try {
      await until("it listens", () => states.at(-1) === true);
      for (const [index, breakdown] of [async () => world.proxy.cut(), async () => world.server.restart()].entries()) {
        const before = states.length;
        await breakdown();
        await until("it is not listening", () => states.slice(before).includes(false));
        await until("it listens again", () => states.at(-1) === true);
        await until("its own connection works", () => crowd[index]!.read());
        const id = await crowd[index]!.withLongTimeout(async (browser) => (await browser.begin()).session.id);
        await until("the other connection works", async () => other.store.delete(id).catch(() => false));
        await until("the revocation is notified", () => notified.includes(id));
      }
    } finally {
      unsubscribe();
      await other.store.close?.();
      await other.end();
    }
  },

  "closes every connection": async (stage) => {
    const { world, store } = stage;
    const unsubscribe = store.subscribe?.({});
    await Promise.all(stage.crowd.map((visitor) => visitor.withLongTimeout((browser) => visitor.write(browser))));
    for (let cuts = 0; cuts < 3; cuts++) {
      world.proxy.cut();
      await stage.untilBack();
    }
    unsubscribe?.();
    await stage.end();
    await until("the server has no connection left", async () => (await world.connections()) === 0);
  },
};

interface Stage {
  readonly world: OutageWorld;
  readonly store: SessionStore;
  readonly sessions: Sessions<Data>;
  /** The same store with a long timeout. */
  readonly sessionsWithLongTimeout: Sessions<Data>;
  readonly crowd: readonly Visitor[];
  acknowledged(): number;
  /** Lets every visitor write again and again. */
  load(): { stop(): Promise<void> };
  /** Waits until every request fails with ERR_SESSION_STORE. */
  untilOut(): Promise<void>;
  /** Waits until every visitor is served again, signed in as before. */
  untilBack(): Promise<void>;
  /** Checks that nobody is signed out, that no acknowledged write is lost, and that none was applied twice. */
  check(): Promise<void>;
  end(): Promise<void>;
}

async function setUp(world: OutageWorld): Promise<Stage> {
  const { store, end } = await world.connect();
  const [sessions, sessionsWithLongTimeout] = [SHORT_TIMEOUT_MS, LONG_TIMEOUT_MS].map((milliseconds) =>
    createSessions<Data>({ secretKey: KEYS[0], store, storeTimeout: `${milliseconds}ms` }),
  ) as [Sessions<Data>, Sessions<Data>];
  const crowd = Array.from(
    { length: USER_COUNT },
    (_, index) => new Visitor(sessions, sessionsWithLongTimeout, `user-${index}`),
  );
  for (const visitor of crowd) await visitor.signIn();
  let ended = false;

  return {
    world,
    store,
    sessions,
    sessionsWithLongTimeout,
    crowd,
    acknowledged: () => crowd.reduce((sum, visitor) => sum + visitor.acknowledged, 0),
    load() {
      const load = { isOn: true };
      const loops = crowd.map(async (visitor) => {
        while (load.isOn) {
          await visitor.write();
          await delay(1);
        }
      });
      return {
        async stop() {
          load.isOn = false;
          await Promise.all(loops);
        },
      };
    },
    async untilOut() {
      await until("no visitor is served", async () => {
        const served = await Promise.all(crowd.map((visitor) => visitor.read()));
        return served.every((is) => !is);
      });
      const served = await Promise.all(crowd.map((visitor) => visitor.write()));
      assert.ok(!served.includes(true), "a write was acknowledged by an unreachable server");
    },
    async untilBack() {
      await until("every visitor is served", async () => {
        const served = await Promise.all(crowd.map((visitor) => visitor.read()));
        return served.every(Boolean);
      });
    },
    async check() {
      for (const visitor of crowd) await visitor.check();
    },
    async end() {
      if (ended) return;
      ended = true;
      await sessions.close();
      await sessionsWithLongTimeout.close();
      await store.close?.();
      await end();
    },
  };
}

/** A signed-in client that counts its acknowledged writes. */
class Visitor {
  browser: Browser<Data>;
  readonly #sessionsWithLongTimeout: Sessions<Data>;
  readonly #userId: string;
  acknowledged = 0;
  #unknown = 0;
  #cookie = "";

  constructor(sessions: Sessions<Data>, sessionsWithLongTimeout: Sessions<Data>, userId: string) {
    this.browser = new Browser(sessions);
    this.#sessionsWithLongTimeout = sessionsWithLongTimeout;
    this.#userId = userId;
  }

  async signIn(): Promise<void> {
    const signedIn = new Browser(this.#sessionsWithLongTimeout);
    await signedIn.visit((session) => session.signIn(this.#userId));
    this.browser = signedIn.copy(this.browser.sessions);
    this.#cookie = this.browser.cookie;
  }

  /** Sends a request of the same client with the long timeout. */
  withLongTimeout<T>(act: (browser: Browser<Data>) => Promise<T>): Promise<T> {
    return act(this.browser.copy(this.#sessionsWithLongTimeout));
  }

  /** Returns whether the request was served. Throws for any error but ERR_SESSION_STORE. */
  async #isServed(request: () => Promise<unknown>): Promise<boolean> {
    try {
      await request();
    } catch (error) {
      if (!isStoreError(error)) throw error;
      return false;
    } finally {
      assert.equal(this.browser.cookie, this.#cookie, "the cookie was replaced");
    }
    return true;
  }

  read(): Promise<boolean> {
    return this.#isServed(async () => {
      assert.equal(await this.browser.userId(), this.#userId, "somebody was signed out");
    });
  }

  async write(browser = this.browser): Promise<boolean> {
    const served = await this.#isServed(() =>
      browser.visit((session) => {
        assert.equal(session.userId, this.#userId, "somebody was signed out");
        session.update("count", (count = 0) => count + 1);
      }),
    );
    if (served) this.acknowledged++;
    else this.#unknown++;
    return served;
  }

  async check(): Promise<void> {
    const { count = 0 } = await this.withLongTimeout((browser) => browser.data());
    assert.equal(await this.withLongTimeout((browser) => browser.userId()), this.#userId, "somebody was signed out");
    assert.ok(count >= this.acknowledged, `${this.acknowledged} writes were acknowledged, ${count} are left`);
    const tried = this.acknowledged + this.#unknown;
    assert.ok(count <= tried, `${tried} writes were tried, and ${count} are counted`);
  }
}

function isStoreError(error: unknown): boolean {
  return error instanceof SessionError && error.code === "ERR_SESSION_STORE" && error.status === 503;
}
