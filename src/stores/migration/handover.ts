import type { SessionStore, StoredSession } from "../../store.ts";
import { readLatest } from "../../capabilities.ts";
import { CONTROL_ID, drawNumber, formOf, marker, staged, unstaged } from "./forms.ts";

/** What became of an id that was settled. */
interface Settled {
  /** The session as it is in `to`; `undefined` where there is none. */
  readonly stored: StoredSession | undefined;
  /** Whether it was this call that handed it over. */
  readonly moved: boolean;
}

/** The steps by which sessions go from one store to the other, whoever takes them. */
export interface Handover {
  /** Whether a copy has begun: once it has, it has for good. */
  underWay(): Promise<boolean>;
  /** What is known of that without asking. */
  isKnown(): boolean;
  read(id: string): Promise<StoredSession | undefined>;
  /** Brings the session to where only `to` counts. Not before a copy has begun. */
  settle(id: string): Promise<Settled>;
}

// Each is lost to somebody who has just updated the session in `from`.
const MOST_ATTEMPTS = 64;

/**
 * Hands sessions over, one at a time, by compare-and-set on single records.
 *
 * | from    | to               | the session is                                    |
 * | ------- | ---------------- | ------------------------------------------------- |
 * | session | nothing, staged  | what `from` says                                  |
 * | marker  | staged, its own  | the staged copy: handed over, not finished yet    |
 * | marker  | session          | what `to` says                                    |
 * | nothing | session          | what `to` says: begun there, or outlived its marker |
 * | marker  | nothing, staged by another | gone                                    |
 * | nothing | nothing, staged  | gone                                              |
 *
 * Only downwards: what is a marker never becomes a session again, and what is gone stays gone, because nothing but the
 * step from "session" to "marker" makes a staged copy count, and that step compares the version that was copied. A
 * session in `to` is therefore always the truth.
 */
export function handover(from: SessionStore, to: SessionStore): Handover {
  let known = false;

  async function underWay(): Promise<boolean> {
    known ||= (await readLatest(from, CONTROL_ID)) !== undefined;
    return known;
  }

  async function settle(id: string): Promise<Settled> {
    let moved = false;
    for (let attempt = 1; attempt <= MOST_ATTEMPTS; attempt += 1) {
      const source = await readLatest(from, id);
      if (source === undefined || formOf(source) === "marker") {
        const found = await finish(id, source);
        if (found !== "again") return { stored: found, moved };
        continue;
      }
      const copy = await stage(id, source);
      if (copy === undefined) continue;
      // From here on the session is in `to`, or it is not the one that was copied.
      if (!(await from.update(id, marker(source, copy.version), source.version))) continue;
      moved = true;
      const final = unstaged(copy);
      if (await to.update(id, final, copy.version)) return { stored: final, moved };
    }
    throw new Error(`the session was updated ${MOST_ATTEMPTS} times in a row while it was being moved: try again`);
  }

  /** What `to` holds of a session that is no longer in `from`. */
  async function finish(id: string, source: StoredSession | undefined): Promise<StoredSession | undefined | "again"> {
    const target = await readLatest(to, id);
    switch (formOf(target)) {
      case "session":
        return target;
      case "nothing":
      case "marker":
        return undefined;
      case "staged":
    }
    if (source?.version === target!.version) {
      const final = unstaged(target!);
      return (await to.update(id, final, source.version)) ? final : "again";
    }
    // Staged by somebody who came too late, or died: nothing can make it count any more.
    await to.delete(id);
    return undefined;
  }

  /** Lays a copy ready; `undefined` where somebody else has been at it meanwhile. */
  async function stage(id: string, source: StoredSession): Promise<StoredSession | undefined> {
    const copy = staged(source, drawNumber());
    if (await to.create(id, copy)) return copy;
    const target = await readLatest(to, id);
    if (target === undefined) return undefined;
    const replaced = async (next: StoredSession) => ((await to.update(id, next, target.version)) ? next : undefined);
    switch (formOf(target)) {
      case "nothing":
        return undefined;
      // Left by a move in the other direction.
      case "marker":
        return replaced(copy);
      case "staged": {
        const { version } = unstaged(target);
        if (version > source.version) return undefined;
        if (version < source.version) return replaced(copy);
        // Somebody may be about to hand this very copy over: its number has to stay.
        return target.expiresAt >= source.expiresAt ? target : replaced({ ...target, expiresAt: source.expiresAt });
      }
      case "session":
    }
    if (formOf(await readLatest(from, id)) !== "session") return undefined;
    throw new Error(
      "both stores hold a session of the same id, and neither was copied from the other: delete it from one of them",
    );
  }

  return {
    underWay,
    isKnown: () => known,
    settle,

    async read(id) {
      // Once much has been moved, most is found at the first look.
      if (known) {
        const target = await readLatest(to, id);
        if (formOf(target) === "session") return target;
      }
      const source = await readLatest(from, id);
      if (formOf(source) === "session") return source;
      if (source !== undefined) known = true;
      // Before a copy the new store is not needed: it may be down.
      else if (!(await underWay())) return undefined;
      const target = await readLatest(to, id);
      switch (formOf(target)) {
        case "session":
          return target;
        case "staged":
          return source?.version === target!.version ? unstaged(target!) : undefined;
        case "marker":
        case "nothing":
          return undefined;
      }
    },
  };
}
