/**
 * Mistakes of the memory store.
 *
 * In `file`, the text `from` becomes `to`.
 */
export const STORES = [
  {
    name: "an update that ignores the version",
    file: "src/stores/memory.ts",
    from: "if (entry === undefined || entry.version !== expectedVersion) return false;",
    to: "if (entry === undefined) return false;",
  },
  {
    name: "a touch that resurrects",
    file: "src/stores/memory.ts",
    from: "      checkTime(expiresAt);\n      const entry = findLive(id);\n      if (entry === undefined) return false;",
    to: "      const entry = findLive(id);\n      if (entry === undefined) return false;\n      const resurrect = () => {\n        if (sessions.has(id)) return;\n        sessions.set(entry.id, entry);\n        heap.add(entry);\n      };\n      setTimeout(resurrect, 30);",
  },
  {
    name: "a touch that shortens",
    file: "src/stores/memory.ts",
    from: "if (expiresAt > entry.expiresAt) heap.move(entry, expiresAt);",
    to: "heap.move(entry, expiresAt);",
  },
  {
    name: "an update of a passive request that shortens in the store",
    file: "src/stores/memory.ts",
    from: "stored.extendOnly ? Math.max(entry.expiresAt, stored.expiresAt) : stored.expiresAt",
    to: "stored.expiresAt",
  },
  {
    name: "an index that forgets a user's first session",
    file: "src/stores/memory.ts",
    from: "sessionsOfUser === undefined ? entry : new Set([sessionsOfUser, entry])",
    to: "entry",
  },
  {
    name: "an index that a sign-in does not enter",
    file: "src/stores/memory.ts",
    from: "      heap.add(entry);\n      addToIndex(entry, userId);",
    to: "      heap.add(entry);\n      void userId;",
  },
  {
    name: "a cleanup that deletes five seconds early",
    file: "src/stores/memory.ts",
    from: "first.expiresAt <= now; first = heap.first()",
    to: "first.expiresAt <= now + 5000; first = heap.first()",
  },
  {
    name: "a deletion that notifies nobody",
    file: "src/stores/memory.ts",
    from: "if (wasLive) subscribers.ended(entry.id);",
    to: "",
  },
];
