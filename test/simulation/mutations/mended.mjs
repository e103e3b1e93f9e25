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
    from: "if (newest === undefined && !(await finishEnd(context, id, commit.deadline))) return false;",
    to: "",
  },
  {
    name: "put back: what save() failed to store is stored after the response",
    file: "src/request/respond.ts",
    from: "    changes.dropSetAside();\n    return concluding;",
    to: "    return concluding;",
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
    from: "      if (!(await preventPutBack(context, id, loaded!, deadline))) continue;\n      // A sign-in",
    to: "      // A sign-in",
  },
  {
    name: "put back: a sign-in undoes a touch of the same moment",
    file: "src/lifecycle/new-session.ts",
    from: "await commit.replaceRecord(id, base, moved, true)",
    to: "await commit.replaceRecord(id, base, moved, false)",
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
    from: "      if (isNewToken)\n        yield* wait(",
    to: "      if (isNewToken && base.version < 0)\n        yield* wait(",
  },
  {
    name: "put back: an ended record that is not deleted yet counts as live",
    file: "src/record/load.ts",
    from: "return ended && ended.movedTo === undefined ? undefined : loaded;",
    to: 'return ended && ended.movedTo === "" ? undefined : loaded;',
  },
  {
    name: "put back: a sign-in that fails leaves its session in the list",
    file: "src/lifecycle/new-session.ts",
    from: "if (!this.#isGivenBack) yield* wait(this.#discard());\n      requestSession.renewId",
    to: "requestSession.renewId",
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
<<<<<<< HEAD
    from: "commit.keep ? commit.replayOn({ ...began }) : snapshot.content",
    to: "commit.keep && changesHands ? commit.replayOn({ ...began }) : snapshot.content",
    also: {
      file: "src/changes/journal.ts",
      from: "      this.#restrict(keep, [...this.#base.flashes, ...others]);",
      to: "      void others;",
    },
  },
  {
    name: "put back: a sign-in that fails twice restores what was revoked in between",
    file: "src/lifecycle/new-session.ts",
    from: 'if (outcome === "uncertain" || (outcome',
    to: "if ((outcome",
=======
    from: "commit.keep ? commit.replayOn({ ...began })",
    to: "commit.keep && changesHands ? commit.replayOn({ ...began })",
>>>>>>> sim3
  },
  {
    name: "put back: revokeAll() does not find a session whose sign-out fails later",
    file: "src/record/record.ts",
    from: "userId: moved?.isListed ? undefined : userId, flashes",
    to: "userId: moved && !moved.isListed ? userId : undefined, flashes",
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
  {
    name: "put back: a failing response does not check the cookie of an earlier save()",
    file: "src/request/respond.ts",
    from: "  cookie.repeat();\n  return requestSession.recheckCookie();",
    to: "  cookie.repeat();\n  return undefined;",
  },
  {
    name: "put back: a cookie passes its check because of one error",
    file: "src/request/request-session.ts",
    from: "await read().catch(read)",
    to: "await read()",
  },
  {
    name: "put back: a sign-in that fails restores the former session although its new one was ended",
    file: "src/lifecycle/new-session.ts",
    from: "if (await session.giveBack(id)) await putBack",
    to: "await session.giveBack(id);\n    await putBack",
  },
  {
    name: "put back: a sign-in that fails deletes the record by which a revocation finds the former session",
    file: "src/lifecycle/new-session.ts",
    from: "if (!this.#isGivenBack) yield* wait(this.#discard());",
    to: "yield* wait(this.#discard());",
  },
  {
    name: "put back: a sign-in that fails hides the former session from revokeAll() for a moment",
    file: "src/lifecycle/new-session.ts",
    from: "{ to: former, isListed: false }",
    to: "{ to: former, isListed: true }",
  },
  {
    name: "put back: a sign-in of another user is told as the end of a session that lives on",
    file: "src/lifecycle/new-session.ts",
    from: "if (changesHands && session.hasReplacedFormer)",
    to: "if (changesHands)",
  },
  {
    name: "a revocation that goes round between two records of a sign-in that is failing",
    file: "src/users.ts",
    from: "      if (passed.has(ended.movedTo)) return false;\n",
    to: "",
  },
  {
    name: "put back: another user's sign-in that fails hides the former session from revokeAll() for a moment",
    file: "src/lifecycle/new-session.ts",
    from: "isListed: !isAnotherUser(requestSession, userId),",
    to: "isListed: true,",
  },
  {
    name: "put back: a sign-out that finds its session ended sends the cookie of an earlier save()",
    file: "src/lifecycle/commit.ts",
    from: "        requestSession.cookie.withdraw();\n",
    to: "",
  },
  {
    name: "put back: a sign-in does not take over what others have stored, because a revocation of it has failed",
    file: "src/lifecycle/new-session.ts",
    from: "      this.loaded = newest;\n      return false;",
    to: "      return true;",
  },
  {
    name: "put back: a revocation deletes what another one, which fails, has put back and a sign-in has moved",
    file: "src/users.ts",
    from: "        if (!(await preventPutBack(context, id, loaded!, deadline))) continue;\n        await",
    to: "        await",
  },
  {
    name: "put back: a sign-out or a sign-in deletes what a revocation that fails has put back and a sign-in has moved",
    file: "src/lifecycle/end.ts",
    from: "if (!(await preventPutBack(context, id, loaded, deadline))) return false;",
    to: "void preventPutBack;",
  },
];
