/**
 * Mistakes of commits, sign-ins, revocation, limits and signals.
 *
 * In `file`, the text `from` becomes `to`.
 */
export const LIFECYCLE = [
  {
    name: "a retry that does not replay the journal",
    file: "src/lifecycle/commit.ts",
    from: "return this.#changes ? this.replayOn(newest!.record) : newest!.record;",
    to: "return this.#changes ? this.snapshot.content : newest!.record;",
  },
  {
    name: "rotation by the record that the request has read",
    file: "src/lifecycle/commit.ts",
    from: 'const step = token ? "none" : stepIn(requestSession, base, this.#withResponse);',
    to: 'const step = token ? "none" : stepIn(requestSession, began, this.#withResponse);',
  },
  {
    name: "a sign-in that leaves the old session",
    file: "src/lifecycle/new-session.ts",
    from: "yield* session.store(() => run(endFormerSession(commit, session)));",
    to: "yield* session.store(() => true);",
  },
  {
    name: "rotate() that keeps the epoch",
    file: "src/lifecycle/commit.ts",
    from: "epoch: nextEpoch(began.record.epoch) }",
    to: "epoch: began.record.epoch }",
  },
  {
    name: "a sign-in that forgets what others have changed meanwhile",
    file: "src/lifecycle/new-session.ts",
    from: "      if (!isAnotherUser(requestSession, userId)) yield* wait(session.takeOver(commit.replayOn(newest.record)));\n",
    to: "",
  },
  {
    name: "a sign-out that deletes without compare-and-set",
    file: "src/lifecycle/end.ts",
    from: 'return (await mark()) ? "marked" : "unchanged";',
    to: 'return (await mark()) ? "marked" : "marked";',
  },
  {
    name: "a revocation that does not follow a sign-in",
    file: "src/users.ts",
    from: "      if (ended.userId === undefined) return false;\n      // A sign-in",
    to: "      if (ended) return false;\n      // A sign-in",
  },
  {
    name: "a sign-out that only clears the cookie",
    file: "src/lifecycle/commit.ts",
    from: "const outcome = await endIfUnchanged(context, id, base, this.deadline, announce);",
    to: 'const outcome = base === undefined ? await endIfUnchanged(context, id, base, this.deadline, announce) : ("ended" as string);',
  },
  {
    name: "an update of an ended session that creates it anew",
    file: "src/lifecycle/commit.ts",
    from: "const newest = yield* wait(this.newest(id));",
    to: "const create = async () => ((await context.store.create(id, encryptSession(context, id, next))) ? next : undefined);\n      const newest = (yield* wait(this.newest(id))) ?? (yield* wait(create()));",
  },
  {
    name: "a superseded request that is merged",
    file: "src/lifecycle/decisions.ts",
    from: 'if (!newest.ended && !newest.superseded) return "again";',
    to: 'if (!newest.ended) return "again";',
  },
  {
    name: "a passive update that shortens the expiry",
    file: "src/lifecycle/commit.ts",
    from: "this.replaceRecord(id, base, next, { extendOnly: this.requestSession.passive })",
    to: "this.replaceRecord(id, base, next)",
  },
  {
    name: "a store's failure that is not told",
    file: "src/lifecycle/commit.ts",
    from: 'if (this.#occasion === "save") requestSession.changes.setAside(this.requested);\n      throw error;',
    to: 'if (this.#occasion === "save") requestSession.changes.setAside(this.requested);\n      if (!this.#withResponse) throw error;\n      return undefined;',
  },
  {
    name: "a signal that only hears, and does not look",
    file: "src/signals.ts",
    from: "    scheduleCheck(id, watch, 0);\n",
    to: "",
  },
  {
    name: "a conflict that is tried again without reading",
    file: "src/lifecycle/commit.ts",
    from: "const newest = yield* wait(this.newest(id));",
    to: "const newest = yield* wait(Promise.resolve(base));",
  },
  {
    name: "a lost reply that is taken for a conflict",
    file: "src/lifecycle/commit.ts",
    from: 'return deadline.ask(this.context.store, "update", id, stored, base.version);',
    to: 'return Promise.resolve(deadline.ask(this.context.store, "update", id, stored, base.version)).catch(() => false);',
  },
  {
    name: "a conflict that is taken for success",
    file: "src/lifecycle/commit.ts",
    from: 'return deadline.ask(this.context.store, "update", id, stored, base.version);',
    to: 'return Promise.resolve(deadline.ask(this.context.store, "update", id, stored, base.version)).then(() => true);',
  },
  {
    name: "a sign-in that keeps the token",
    file: "src/lifecycle/new-session.ts",
    from: "this.token = requestSession.newToken(requestSession.id);",
    to: "this.token = { ...requestSession.newToken(requestSession.id), ...(requestSession.token && { secret: requestSession.token.secret }) };",
    also: {
      file: "src/request/request-session.ts",
      from: "return signIn?.id ?? (signOut ? this.#idOfNew : this.storedId);",
      to: "return signOut ? this.#idOfNew : this.storedId;",
    },
  },
  {
    name: "a sign-out that leaves the record",
    file: "src/lifecycle/end.ts",
    from: "isEnded = await remove(context, id, deadline);",
    to: "isEnded = base.version < 0 ? await remove(context, id, deadline) : true;",
  },
  {
    name: "a sign-out that gives up after a conflict",
    file: "src/lifecycle/commit.ts",
    from: "        if (newest) return false;\n",
    to: "        if (newest) return true;\n",
  },
  {
    name: "a sign-out that does not stop the sign-in that it meets",
    file: "src/lifecycle/commit.ts",
    from: "          if (!(await preventPutBack(context, id, newest, this.deadline))) return false;\n",
    to: "",
  },
  {
    name: "revokeAll() that misses a session that others write to",
    file: "src/users.ts",
    from: 'if ((await endIfUnchanged(context, id, loaded, deadline, announce)) !== "changed") return true;',
    to: 'return (await endIfUnchanged(context, id, loaded, deadline, announce)) !== "changed";',
  },
  {
    name: "revokeAll() that ends the excepted session as well",
    file: "src/users.ts",
    from: "const spared = [except, storedIdOf(context, except)];",
    to: "const spared: unknown[] = [storedIdOf(context, undefined), except && undefined];",
  },
  {
    name: "revokeAll() that spares the last session",
    file: "src/users.ts",
    from: "new Set(ids.filter((id) => !spared.includes(id)))",
    to: "new Set(ids.filter((id, at) => !spared.includes(id) && (at === 0 || at < ids.length - 1)))",
  },
  {
    name: "a limit that evicts the newest",
    file: "src/users.ts",
    from: "for (const { id } of latestFirst.slice(limit.sessions))",
    to: "for (const { id } of latestFirst.slice(0, Math.max(0, latestFirst.length - limit.sessions)))",
  },
  {
    name: "a limit that is one too many",
    file: "src/users.ts",
    from: "for (const { id } of latestFirst.slice(limit.sessions))",
    to: "for (const { id } of latestFirst.slice(limit.sessions + 1))",
  },
  {
    name: "a limit that forgets the former session that lives on",
    file: "src/users.ts",
    from: "    if (await signingIn.finish()) return;",
    to: "    await signingIn.finish();\n    if (latest >= 0) return;",
  },
  {
    name: "a signal that looks each minute",
    file: "src/signals.ts",
    from: "const CHECK_MS = 30_000;",
    to: "const CHECK_MS = 60_000;",
  },
  {
    name: "a signal that is never checked without notifications",
    file: "src/signals.ts",
    from: "    else if (!isSubscribed) scheduleRound(POLL_MS);",
    to: "",
    also: {
      file: "src/signals.ts",
      from: "if (!isSubscribed && !round && !isChecking) scheduleRound(POLL_MS);",
      to: "void POLL_MS;",
    },
  },
  {
    name: "a signal that hears of no end",
    file: "src/signals.ts",
    from: '{ ended: (ended) => end(ended, "revoked"), listening: setSubscribed }',
    to: "{ ended: () => {}, listening: setSubscribed }",
  },
  {
    name: "a signal that a failed check ends",
    file: "src/signals.ts",
    from: '      emitter.emit("error", { id, error });\n      if (watches',
    to: '      emitter.emit("error", { id, error });\n      end(id, "revoked");\n      if (watches',
  },
  {
    name: "a signal that survives a sign-in elsewhere",
    file: "src/signals.ts",
    from: "if (before === loaded.record.epoch || before !== epoch()) continue;",
    to: "if (before === loaded.record.epoch || before !== epoch() || loaded.record.ended) continue;",
  },
  {
    name: "a commit that overwrites what the commit before it has stored",
    file: "src/lifecycle/commit.ts",
    from: "      content = this.#contentOver(before, began);\n    }",
    to: "    }",
  },
];
