import { decode, encode, type Dictionary } from "../changes/codec.ts";
import type { Context } from "../context.ts";
import { Deadline } from "../deadline.ts";
import { SessionError } from "../errors.ts";
import { extendedEnd } from "../lifecycle/timeouts.ts";
import { requireCapability } from "../capabilities.ts";
import { loadLatest } from "../record/load.ts";
import { encryptSession, type LoadedRecord } from "../record/record.ts";
import type { Sessions } from "../sessions.ts";
import { Cookie } from "./cookie.ts";
import { Store, type StoredData, type StoreRequest } from "./store.ts";

type Done = (error?: unknown) => void;
const MAX_ATTEMPTS = 10;

/**
 * `req.sessionStore`: the sessions by their ids, decrypted, in the form of an express-session store. The store that the
 * application has given holds them encrypted.
 */
export class SessionView extends Store {
  readonly #sessions: Sessions<Dictionary>;
  readonly #context: Context;
  readonly #generate: (req: StoreRequest) => void;

  constructor(sessions: Sessions<Dictionary>, context: Context, generate: (req: StoreRequest) => void) {
    super();
    this.#sessions = sessions;
    this.#context = context;
    this.#generate = generate;
  }

  /** Gives a request a new session in place of its own, which ends. */
  generate(req: StoreRequest): void {
    this.#generate(req);
  }

  override get(id: string, callback: (error: unknown, session?: StoredData | null) => void): void {
    const found = this.#load(id).then((loaded) => loaded && this.#shown(loaded));
    found.then((session) => process.nextTick(callback, null, session), fail(callback));
  }

  /** Replaces the data of a live session. No session begins by it, since nobody would have its token. */
  override set(id: string, session: StoredData, callback: Done = () => {}): void {
    settle(this.#replace(id, session), callback);
  }

  override destroy(id: string, callback: Done = () => {}): void {
    settle(this.#sessions.revoke(id), callback);
  }

  override touch(id: string, _session: StoredData, callback: Done = () => {}): void {
    settle(this.#touch(id), callback);
  }

  override all(callback: (error: unknown, sessions?: Record<string, StoredData>) => void): void {
    this.#all().then((sessions) => process.nextTick(callback, null, sessions), fail(callback));
  }

  override length(callback: (error: unknown, length?: number) => void): void {
    const count = this.#all().then((sessions) => Object.keys(sessions).length);
    count.then((length) => process.nextTick(callback, null, length), fail(callback));
  }

  override clear(callback: Done = () => {}): void {
    settle(this.#sessions.revokeEverything(), callback);
  }

  async #load(id: string): Promise<LoadedRecord | undefined> {
    if (typeof id !== "string" || id === "") return undefined;
    const context = this.#context;
    const loaded = await loadLatest(context, id, new Deadline(context.storeTimeout));
    return loaded && !loaded.record.ended && loaded.expiresAt > context.now() ? loaded : undefined;
  }

  #shown({ record, expiresAt }: LoadedRecord): StoredData {
    const { cookie: kept, ...data } = { ...decode(record.data) };
    const cookie = new Cookie(kept as object | undefined);
    if (cookie.originalMaxAge === null) cookie.originalMaxAge = record.idle ?? null;
    return { ...data, cookie: { ...cookie.data, expires: new Date(expiresAt) } };
  }

  async #replace(id: string, { cookie: _cookie, ...session }: StoredData): Promise<void> {
    const context = this.#context;
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt += 1) {
      const loaded = await this.#load(id);
      if (!loaded) return;
      const { cookie } = decode(loaded.record.data);
      const asJson = JSON.parse(JSON.stringify(session)) as Dictionary;
      const data = encode(cookie === undefined ? asJson : { ...asJson, cookie }, context.limits);
      const { version } = loaded;
      const next = encryptSession(context, id, {
        ...loaded,
        record: { ...loaded.record, data },
        version: version + 1,
        expiresAt: extendedEnd(context.now(), loaded.record, context.timeouts),
      });
      const stored = { ...next, extendOnly: true };
      if (await new Deadline(context.storeTimeout).run("update", () => context.store.update(id, stored, version)))
        return;
    }
    throw new SessionError("ERR_SESSION_CONFLICT", "Other requests kept changing the session");
  }

  async #touch(id: string): Promise<void> {
    const context = this.#context;
    const loaded = await this.#load(id);
    if (!loaded) return;
    const expiresAt = extendedEnd(context.now(), loaded.record, context.timeouts);
    await new Deadline(context.storeTimeout).run("touch", () => context.store.touch(id, expiresAt));
  }

  async #all(): Promise<Record<string, StoredData>> {
    const all = requireCapability(this.#context.store, "all", "listing all sessions");
    const found = Object.create(null) as Record<string, StoredData>;
    for await (const id of all()) {
      const loaded = await this.#load(id);
      if (loaded) found[id] = this.#shown(loaded);
    }
    return found;
  }
}

// What a callback throws is nobody's rejection.
const fail =
  (callback: Done) =>
  (error: unknown): void =>
    process.nextTick(callback, error);

function settle(outcome: Promise<unknown>, callback: Done): void {
  outcome.then(() => process.nextTick(callback, null), fail(callback));
}
