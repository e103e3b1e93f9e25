import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import { SessionError } from "../../src/errors.ts";
import { createSessions, type Sessions } from "../../src/sessions.ts";
import type { SessionStore } from "../../src/store.ts";
import { Browser, KEYS } from "./stores.ts";
import { until, type Program, type Proxy } from "./throwaway.ts";

/** A real server, the network before it, and clients as the documentation sets them up. */
export interface OutageWorld {
  readonly server: Pick<Program, "kill" | "restart" | "pause" | "resume">;
  readonly proxy: Proxy;
  /** A fresh client, through the proxy. */
  connect(): Promise<{ readonly store: SessionStore; end(): Promise<void> }>;
  /** At the server, but for the one that asks. */
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

const CROWD = 8;
/** How soon requests give up that are to find the server away. */
const PATIENCE_MS = 700;
/** For those that are to succeed, on a busy machine too. */
const LONG_MS = 60_000;

/** What every store with a server owes its users while the server, or the way to it, is out of order. */
export function outageCases(start: () => Promise<OutageWorld>): OutageCase[] {
  return Object.entries(CASES).map(([name, play]) => ({
    name,
    async run() {
      const world = await start();
      const stage = await setStage(world);
      try {
        await play(stage);
      } finally {
        world.server.resume();
        world.proxy.release();
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
    await stage.isOut();
    await world.server.restart();
    await stage.isBack();
    await load.stop();
    await stage.check();
  },

  "loses nothing it has acknowledged when the server is restarted under load": async (stage) => {
    const load = stage.load();
    await until("there are writes", () => stage.crowd.every(({ acknowledged }) => acknowledged > 2));
    await stage.world.server.restart();
    await stage.isBack();
    await load.stop();
    await stage.check();
  },

  "gives up on a server that is paused in the middle of commands, and goes on when it is resumed": async (stage) => {
    const { world } = stage;
    const load = stage.load();
    await until("there are writes", () => stage.crowd.every(({ acknowledged }) => acknowledged > 2));
    world.server.pause();
    await stage.isOut();
    world.server.resume();
    await stage.isBack();
    await load.stop();
    await stage.check();
  },

  "survives connections that are cut again and again under load": async (stage) => {
    const load = stage.load();
    for (let cuts = 0; cuts < 5; cuts++) {
      const before = stage.acknowledged();
      await until("there are more writes", () => stage.acknowledged() > before + CROWD);
      stage.world.proxy.cut();
    }
    await stage.isBack();
    await load.stop();
    await stage.check();
  },

  "answers with an error while connections are refused, and recovers by itself": async (stage) => {
    stage.world.proxy.refuse();
    await stage.isOut();
    await stage.isOut();
    stage.world.proxy.accept();
    await stage.isBack();
    await stage.check();
  },

  "works over a slow network, and gives up when it is slower than storeTimeout": async (stage) => {
    const { proxy } = stage.world;
    proxy.delay(20);
    await Promise.all(stage.crowd.map((visitor) => visitor.patiently((browser) => visitor.write(browser))));
    for (const visitor of stage.crowd) assert.ok(visitor.acknowledged > 0, "a slow network is no outage");
    proxy.delay(2 * PATIENCE_MS);
    await stage.isOut();
    proxy.delay(0);
    await stage.isBack();
    await stage.check();
  },

  "answers with an error where nothing comes back from an open connection, and recovers": async (stage) => {
    stage.world.proxy.hold();
    await stage.isOut();
    stage.world.proxy.release();
    await stage.isBack();
    await stage.check();
  },

  "neither signs in nor out, and leaves cookies alone, while the server is away": async (stage) => {
    const { world, sessions, patient, crowd } = stage;
    const [leaving] = crowd;
    const cookie = leaving!.browser.cookie;
    world.proxy.refuse();
    const arriving = new Browser<Data>(sessions);
    await assert.rejects(() => arriving.visit((session) => session.signIn("late")), isStoreError);
    assert.equal(arriving.cookie, "");
    await assert.rejects(() => leaving!.browser.visit((session) => session.signOut()), isStoreError);
    assert.equal(leaving!.browser.cookie, cookie);
    world.proxy.accept();
    await stage.isBack();
    await stage.check();
    const arrived = arriving.copy(patient);
    await arrived.visit((session) => session.signIn("late"));
    assert.equal(await arrived.userId(), "late");
    await leaving!.patiently((browser) => browser.visit((session) => session.signOut()));
    assert.equal(await leaving!.patiently((browser) => browser.userId()), undefined);
  },

  "says when it can't hear, and hears again of revocations once the server is back": async (stage) => {
    const { world, store, crowd } = stage;
    if (!store.subscribe) return;
    const heard: string[] = [];
    const states: boolean[] = [];
    const end = store.subscribe({
      ended: (id) => heard.push(id),
      listening: (is) => states.push(is),
    });
    const other = await world.connect();
    try {
      await until("it listens", () => states.at(-1) === true);
      for (const [index, breakdown] of [async () => world.proxy.cut(), async () => world.server.restart()].entries()) {
        const turns = states.length;
        await breakdown();
        await until("it says that it does not hear", () => states.slice(turns).includes(false));
        await until("it listens again", () => states.at(-1) === true);
        await until("its own connection works", () => crowd[index]!.read());
        const id = await crowd[index]!.patiently(async (browser) => (await browser.begin()).session.id);
        await until("the other connection works", async () => other.store.delete(id).catch(() => false));
        await until("it has heard", () => heard.includes(id));
      }
    } finally {
      end();
      await other.store.close?.();
      await other.end();
    }
  },

  "leaves no connection behind": async (stage) => {
    const { world, store } = stage;
    const end = store.subscribe?.({});
    await Promise.all(stage.crowd.map((visitor) => visitor.patiently((browser) => visitor.write(browser))));
    for (let cuts = 0; cuts < 3; cuts++) {
      world.proxy.cut();
      await stage.isBack();
    }
    end?.();
    await stage.end();
    await until("the server has no connection left", async () => (await world.connections()) === 0);
  },
};

interface Stage {
  readonly world: OutageWorld;
  readonly store: SessionStore;
  readonly sessions: Sessions<Data>;
  /** The same, for who has the time. */
  readonly patient: Sessions<Data>;
  readonly crowd: readonly Visitor[];
  acknowledged(): number;
  /** Everybody writes, over and over. */
  load(): { stop(): Promise<void> };
  /** Whoever asks meets the declared error, in bounded time. */
  isOut(): Promise<void>;
  /** Waits until everybody is served again, signed in as before. */
  isBack(): Promise<void>;
  /** Nobody is signed out, no acknowledged write is lost, and none was done twice. */
  check(): Promise<void>;
  end(): Promise<void>;
}

async function setStage(world: OutageWorld): Promise<Stage> {
  const { store, end } = await world.connect();
  const [sessions, patient] = [PATIENCE_MS, LONG_MS].map((milliseconds) =>
    createSessions<Data>({ secretKey: KEYS[0], store, storeTimeout: `${milliseconds}ms` }),
  ) as [Sessions<Data>, Sessions<Data>];
  const crowd = Array.from({ length: CROWD }, (_, index) => new Visitor(sessions, patient, `user-${index}`));
  for (const visitor of crowd) await visitor.signIn();
  let ended = false;

  return {
    world,
    store,
    sessions,
    patient,
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
    async isOut() {
      await until("nobody is served", async () => {
        const served = await Promise.all(crowd.map((visitor) => visitor.read()));
        return served.every((is) => !is);
      });
      const served = await Promise.all(crowd.map((visitor) => visitor.write()));
      assert.ok(!served.includes(true), "a write was acknowledged by a server that is away");
    },
    async isBack() {
      await until("everybody is served", async () => {
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
      await patient.close();
      await store.close?.();
      await end();
    },
  };
}

/** A signed-in client that remembers what it was promised. */
class Visitor {
  browser: Browser<Data>;
  readonly #patient: Sessions<Data>;
  readonly #userId: string;
  acknowledged = 0;
  #doubtful = 0;
  #cookie = "";

  constructor(sessions: Sessions<Data>, patient: Sessions<Data>, userId: string) {
    this.browser = new Browser(sessions);
    this.#patient = patient;
    this.#userId = userId;
  }

  async signIn(): Promise<void> {
    const signedIn = new Browser(this.#patient);
    await signedIn.visit((session) => session.signIn(this.#userId));
    this.browser = signedIn.copy(this.browser.sessions);
    this.#cookie = this.browser.cookie;
  }

  /** What the same client does when it has the time. */
  patiently<T>(act: (browser: Browser<Data>) => Promise<T>): Promise<T> {
    return act(this.browser.copy(this.#patient));
  }

  /** Whether it was served. What is neither the right answer nor the declared error is a failure of the test. */
  async #attempt(request: () => Promise<unknown>): Promise<boolean> {
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
    return this.#attempt(async () => {
      assert.equal(await this.browser.userId(), this.#userId, "somebody was signed out");
    });
  }

  async write(browser = this.browser): Promise<boolean> {
    const served = await this.#attempt(() =>
      browser.visit((session) => {
        assert.equal(session.userId, this.#userId, "somebody was signed out");
        session.update("count", (count = 0) => count + 1);
      }),
    );
    if (served) this.acknowledged++;
    else this.#doubtful++;
    return served;
  }

  async check(): Promise<void> {
    const { count = 0 } = await this.patiently((browser) => browser.data());
    assert.equal(await this.patiently((browser) => browser.userId()), this.#userId, "somebody was signed out");
    assert.ok(count >= this.acknowledged, `${this.acknowledged} writes were acknowledged, ${count} are left`);
    const most = this.acknowledged + this.#doubtful;
    assert.ok(count <= most, `${most} writes were tried, and ${count} are counted`);
  }
}

function isStoreError(error: unknown): boolean {
  return error instanceof SessionError && error.code === "ERR_SESSION_STORE" && error.status === 503;
}
