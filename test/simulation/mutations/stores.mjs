/**
 * Mistakes of the memory store.
 *
 * In `file`, the text `from` becomes `to`.
 */
export const STORES = [
  {
    name: "an update that ignores the version",
    file: "src/stores/memory.ts",
    from: "if (entry === undefined || versions.get(entry) !== expectedVersion) return false;",
    to: "if (entry === undefined) return false;",
  },
  {
    name: "a touch that resurrects",
    file: "src/stores/memory.ts",
    from: "      checkTime(expiresAt);\n      const entry = findLive(id);\n      if (entry === undefined) return false;",
    to: "      const entry = findLive(id);\n      if (entry === undefined) return false;\n      const payload = payloads.get(entry);\n      const version = versions.get(entry);\n      const resurrect = () => {\n        if (entries.has(id)) return;\n        const again = expiries.add(expiresAt);\n        entries.set(id, again);\n        ids.set(again, id);\n        payloads.set(again, payload);\n        versions.set(again, version);\n      };\n      setTimeout(resurrect, 30);",
  },
  {
    name: "a touch that shortens",
    file: "src/stores/memory.ts",
    from: "if (expiresAt > expiries.expiryOf(entry)) moveTo(entry, expiresAt);",
    to: "moveTo(entry, expiresAt);",
  },
  {
    name: "an update of a passive request that shortens in the store",
    file: "src/stores/memory.ts",
    from: "stored.extendOnly ? Math.max(expiries.expiryOf(entry), expiresAt) : expiresAt",
    to: "expiresAt",
  },
  {
    name: "an index that forgets a user's first session",
    file: "src/stores/memory.ts",
    from: "entriesOfUser === undefined ? entry : new Set([entriesOfUser, entry])",
    to: "entry",
  },
  {
    name: "an index that a sign-in does not enter",
    file: "src/stores/memory.ts",
    from: "      versions.set(entry, stored.version);\n      addToIndex(entry, stored.userId);\n      return true;",
    to: "      versions.set(entry, stored.version);\n      return true;",
  },
  {
    name: "a cleanup that deletes five seconds early",
    file: "src/stores/memory.ts",
    from: "const entry = expiries.due(now);",
    to: "const entry = expiries.due(now + 5000);",
    also: {
      file: "src/stores/memory.ts",
      from: "if (expiries.expiryOf(entry) > now) expiries.settle(entry);",
      to: "if (expiries.expiryOf(entry) > now + 5000) expiries.settle(entry);",
    },
  },
  {
    name: "a deletion that notifies nobody",
    file: "src/stores/memory.ts",
    from: "if (wasLive) subscribers.ended(ended);",
    to: "",
  },
];
