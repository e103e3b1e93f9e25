import type { SessionStore, StoredSession } from "../../store.ts";
import { readLatest } from "../../capabilities.ts";
import {
  CONTROL_ID,
  createMarker,
  createStagedCopy,
  drawMigrationNumber,
  recordKindOf,
  sessionOfStagedCopy,
} from "./migration-records.ts";

/** The result of migrating one id. */
interface Migrated {
  /** The session in `to`, or `undefined` if there is none. */
  readonly stored: StoredSession | undefined;
  /** Whether this call moved the session. */
  readonly moved: boolean;
}

/** The steps that move sessions from one store to the other. `movingStore` and `copySessions` both use them. */
export interface SessionMigration {
  /** Returns whether a copy has begun. Once `true`, it stays `true`. */
  hasBegun(): Promise<boolean>;
  /** Returns whether this process knows already that a copy has begun. It does not call a store. */
  isKnownToHaveBegun(): boolean;
  read(id: string): Promise<StoredSession | undefined>;
  /** Moves the session, so that from now on only `to` decides. Call it only if a copy has begun. */
  migrate(id: string): Promise<Migrated>;
}

// An attempt fails only if another process has updated the session in `from` in the meantime.
const MAX_ATTEMPTS = 64;

/**
 * Moves sessions one at a time, by compare-and-set on single records.
 *
 * | from    | to                     | the session is                                    |
 * | ------- | ---------------------- | ------------------------------------------------- |
 * | session | nothing, staged        | in `from`                                         |
 * | marker  | staged, same number    | the staged copy: moved, but the last step is missing |
 * | marker  | session                | in `to`                                           |
 * | nothing | session                | in `to`: created there, or its marker has expired |
 * | marker  | nothing                | gone                                              |
 * | marker  | staged, another number | gone                                              |
 * | nothing | nothing, staged        | gone                                              |
 *
 * A session only moves down in this table. A marker never becomes a session again, and an ended session never comes back.
 * Only the step from "session" to "marker" makes a staged copy valid, and that step compares the version that was copied.
 * So a session in `to` is always the current one.
 */
export function sessionMigration(from: SessionStore, to: SessionStore): SessionMigration {
  let known = false;

  async function hasBegun(): Promise<boolean> {
    known ||= (await readLatest(from, CONTROL_ID)) !== undefined;
    return known;
  }

  async function migrate(id: string): Promise<Migrated> {
    let moved = false;
    for (let attempt = 1; attempt <= MAX_ATTEMPTS; attempt += 1) {
      const source = await readLatest(from, id);
      if (source === undefined || recordKindOf(source) === "marker") {
        const found = await finishMove(id, source);
        if (found !== "retry") return { stored: found, moved };
        continue;
      }
      const copy = await stageCopy(id, source);
      if (copy === undefined) continue;
      // If this succeeds, the session is in `to`. If it fails, the session is no longer the one that was copied.
      if (!(await from.update(id, createMarker(source, copy.version), source.version))) continue;
      moved = true;
      const session = sessionOfStagedCopy(copy);
      if (await to.update(id, session, copy.version)) return { stored: session, moved };
    }
    throw new Error(`the session was updated ${MAX_ATTEMPTS} times in a row while it was being moved: try again`);
  }

  /** Returns the session in `to` if it is no longer in `from`. Takes the last step of the move if that is missing. */
  async function finishMove(
    id: string,
    source: StoredSession | undefined,
  ): Promise<StoredSession | undefined | "retry"> {
    const target = await readLatest(to, id);
    switch (recordKindOf(target)) {
      case "session":
        return target;
      case "nothing":
      case "marker":
        return undefined;
      case "staged":
    }
    if (source?.version === target!.version) {
      const session = sessionOfStagedCopy(target!);
      return (await to.update(id, session, source.version)) ? session : "retry";
    }
    // A process staged this copy too late, or was killed after that. No marker can make it valid any more.
    await to.delete(id);
    return undefined;
  }

  /** Writes a staged copy into `to`. Returns `undefined` if another process has changed one of the records. */
  async function stageCopy(id: string, source: StoredSession): Promise<StoredSession | undefined> {
    const copy = createStagedCopy(source, drawMigrationNumber());
    if (await to.create(id, copy)) return copy;
    const target = await readLatest(to, id);
    if (target === undefined) return undefined;
    const replaceWith = async (next: StoredSession) => ((await to.update(id, next, target.version)) ? next : undefined);
    switch (recordKindOf(target)) {
      case "nothing":
        return undefined;
      // An earlier move in the other direction has left it.
      case "marker":
        return replaceWith(copy);
      case "staged": {
        const { version } = sessionOfStagedCopy(target);
        if (version > source.version) return undefined;
        if (version < source.version) return replaceWith(copy);
        // Another process may be about to write the marker for this copy, so the copy keeps its number.
        return target.expiresAt >= source.expiresAt ? target : replaceWith({ ...target, expiresAt: source.expiresAt });
      }
      case "session":
    }
    if (recordKindOf(await readLatest(from, id)) !== "session") return undefined;
    throw new Error(
      "both stores hold a session of the same id, and neither was copied from the other: delete it from one of them",
    );
  }

  return {
    hasBegun,
    isKnownToHaveBegun: () => known,
    migrate,

    async read(id) {
      // If many sessions have been moved, this first read finds most of them.
      if (known) {
        const target = await readLatest(to, id);
        if (recordKindOf(target) === "session") return target;
      }
      const source = await readLatest(from, id);
      if (recordKindOf(source) === "session") return source;
      if (source !== undefined) known = true;
      // Before a copy, the new store is not called: it may be down.
      else if (!(await hasBegun())) return undefined;
      const target = await readLatest(to, id);
      switch (recordKindOf(target)) {
        case "session":
          return target;
        case "staged":
          return source?.version === target!.version ? sessionOfStagedCopy(target!) : undefined;
        case "marker":
        case "nothing":
          return undefined;
      }
    },
  };
}
