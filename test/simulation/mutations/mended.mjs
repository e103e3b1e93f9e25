/**
 * Mistakes that the library once had, or that its mends guard against.
 *
 * In `file`, the text `from` becomes `to`.
 */
export const MENDED = [
  {
    name: "no putting back after a failed sign-in",
    file: "src/lifecycle/end.ts",
    from: '    .run("update", () => store.update(id, stored, replaced))\n',
    to: '    .run("update", () => Promise.resolve(stored.version < 0))\n',
  },
  {
    name: "put back: a sign-in that failed puts back what another has invalidated",
    file: "src/lifecycle/new-session.ts",
    from: "    if (newest && !(await preventPutBack(context, id, newest, commit.deadline))) return false;\n",
    to: "",
  },
  {
    name: "put back: a sign-out that failed puts back what a sign-in has invalidated",
    file: "src/lifecycle/new-session.ts",
    from: 'if (newest === undefined) await commit.deadline.run("delete", () => context.store.delete(id));',
    to: "",
  },
  {
    name: "put back: what save() failed to store is stored after the response",
    file: "src/request/respond.ts",
    from: "    changes.dropSetAside();\n    return undefined;",
    to: "    return undefined;",
  },
  {
    name: "put back: a sign-in that save() dropped is carried out by the response",
    file: "src/lifecycle/new-session.ts",
    from: "    requestSession.changes.markDone(requested);\n",
    to: "",
  },
  {
    name: "put back: revoke() ends another user's new session",
    file: "src/users.ts",
    from: "      isMeant = (its) => its === ended.userId;\n",
    to: "",
  },
  {
    name: "put back: a sign-out that meets rotate() is answered, and ends nothing",
    file: "src/lifecycle/commit.ts",
    from: "if (newest?.record.ended) {",
    to: "if (newest && newest.record.epoch !== requestSession.loaded!.record.epoch) {",
  },
  {
    name: "put back: an id is used twice after a sign-out",
    file: "src/request/request-session.ts",
    from: "    // An id is never used twice: after a sign-out another session may begin.\n    this.#newId = undefined;",
    to: "",
  },
  {
    name: "put back: a visitor's failed sign-in is tried again under the same id",
    file: "src/request/request-session.ts",
    from: "    if (!this.token) this.#newId = createRandomPart();\n",
    to: "",
  },
  {
    name: "put back: a failed sign-in puts back a visitor's session that was revoked",
    file: "src/users.ts",
    from: "      if (!(await preventPutBack(context, id, loaded!, deadline))) continue;\n",
    to: "",
  },
  {
    name: "put back: a sign-in undoes a touch of the same moment",
    file: "src/lifecycle/new-session.ts",
    from: "return await commit.replaceRecord(id, base, moved, true);",
    to: "return await commit.replaceRecord(id, base, moved, false);",
  },
  {
    name: "put back: a sign-out whose deletion fails signs out although it fails",
    file: "src/lifecycle/end.ts",
    from: '    if ((await putBack(context, id, base, isLeft, within)) !== "restored") void',
    to: "    if (within !== undefined) void",
  },
  {
    name: "put back: what is put back replaces another request's record",
    file: "src/lifecycle/end.ts",
    from: 'if (found?.version !== replaced || !isOurs(decryptSession(context, id, found).record)) return "not restored";',
    to: 'if (!found || isOurs.length > 5) return "not restored";',
    also: {
      file: "src/lifecycle/end.ts",
      from: "store.update(id, stored, replaced)",
      to: "readLatest(store, id).then((it) => store.update(id, { ...stored, version: it!.version + 1 }, it!.version))",
    },
  },
  {
    name: "put back: a failed rotate() leaves the old token invalid",
    file: "src/lifecycle/commit.ts",
    from: "      if (isNewToken)\n        await putBack",
    to: "      if (isNewToken && base.version < 0)\n        await putBack",
  },
  {
    name: "put back: an ended record that is not deleted yet counts as live",
    file: "src/record/load.ts",
    from: "return ended && ended.movedTo === undefined ? undefined : loaded;",
    to: 'return ended && ended.movedTo === "" ? undefined : loaded;',
  },
  {
    name: "put back: a sign-in that fails leaves its new session, which has been ended, with the former one",
    file: "src/lifecycle/new-session.ts",
    from: '(outcome === "restored" && !(await isEnded()))',
    to: '(outcome === "restored" && isEnded.length > 5)',
  },
  {
    name: "put back: a sign-in that fails leaves its session in the list",
    file: "src/lifecycle/new-session.ts",
    from: "      await this.#discard();\n      requestSession.renewId",
    to: "      requestSession.renewId",
  },
  {
    name: "put back: what a failed save() has changed is not stored by the next one",
    file: "src/request/pending-changes.ts",
    from: "    this.#setAside = undefined;\n    this.journal.takeBack();",
    to: "    this.#setAside = undefined;\n    this.journal.dropSetAside(this.#base);",
  },
  {
    name: "put back: a rotation step of another occasion issues a cookie",
    file: "src/lifecycle/commit.ts",
    from: "    if (!this.#withResponse) return;\n",
    to: "",
  },
  {
    name: "put back: the kept keys of a sign-in are what the handler has seen",
    file: "src/lifecycle/new-session.ts",
    from: "requested.signIn!.keep ? commit.replayOn({ ...began }) : snapshot.content",
    to: "requested.signIn!.keep && changesHands ? commit.replayOn({ ...began }) : snapshot.content",
  },
  {
    name: "put back: a sign-in that fails twice restores what was revoked in between",
    file: "src/lifecycle/new-session.ts",
    from: 'if (outcome === "uncertain" || (outcome',
    to: "if ((outcome",
  },
  {
    name: "put back: revokeAll() does not find a session whose sign-out fails later",
    file: "src/record/record.ts",
    from: "userId: movedTo === undefined ? userId : undefined, flashes",
    to: "userId: undefined, flashes",
  },
  {
    name: "put back: a revocation that meets an error deletes what it would have followed",
    file: "src/lifecycle/end.ts",
    from: "    const isMarked = found !== undefined",
    to: "    if (isLeft.length === 1) return remove(deadline);\n    const isMarked = found !== undefined",
  },
  {
    name: "put back: a sign-out that meets a sign-in deletes what a revocation would have followed",
    file: "src/lifecycle/commit.ts",
    from: "if (!(await preventPutBack(context, id, newest, this.deadline))) return false;",
    to: 'await this.deadline.run("delete", () => context.store.delete(id));',
  },
  {
    name: "put back: a failing rotate() restores the token that a sign-in has invalidated",
    file: "src/lifecycle/new-session.ts",
    from: "if (newest && !(await preventPutBack",
    to: "if (newest && hasMoved && !(await preventPutBack",
  },
];
