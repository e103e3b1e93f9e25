/**
 * Mistakes of requests, responses and cookies.
 *
 * In `file`, the text `from` becomes `to`.
 */
export const REQUESTS = [
  {
    name: "a response that does not wait for its save",
    file: "src/request/respond.ts",
    from: "return storing\n    .then(() => writeHeaders(requestSession, headers))",
    to: "writeHeaders(requestSession, headers);\n  storing.catch(() => {});\n  return Promise.resolve()",
  },
  {
    name: "a sign-in that keeps the former user's data",
    file: "src/lifecycle/plan.ts",
    from: "return isAnotherUser(requestSession, userId) ? [] : keep;",
    to: "return keep;",
  },
  {
    name: "a deadline that bounds nothing",
    file: "src/deadline.ts",
    from: "return this.#isOver ? 0 : this.#end - performance.now();",
    to: "return 60_000;",
  },
  {
    name: "an outage that makes anonymous",
    file: "src/record/load.ts",
    from: 'deadline.ask(context.store, "read", id),',
    to: 'Promise.resolve(deadline.ask(context.store, "read", id)).catch(() => undefined),',
  },
  {
    name: "two live tokens in one header, of which the first is believed",
    file: "src/request/presented-tokens.ts",
    from: "if (live.length === 1) return",
    to: "if (live.length > 0) return",
  },
  {
    name: "a cookie of save() that is not checked again",
    file: "src/request/respond.ts",
    from: "(cookie.pending === waiting ? recheckCookie(requestSession) : undefined)",
    to: "undefined",
  },
  {
    name: "a sign-in that sets no cookie",
    file: "src/lifecycle/new-session.ts",
    from: "    requestSession.issueCookie();\n  }\n\n  /** @param after",
    to: "  }\n\n  /** @param after",
  },
  {
    name: "rotate() that sets no cookie",
    file: "src/lifecycle/commit.ts",
    from: "if (token) requestSession.issueCookie();\n        else this.#issueCookie(step);",
    to: "if (!token) this.#issueCookie(step);",
  },
  {
    name: "a sign-out whose cookie undoes the sign-in that came first",
    file: "src/lifecycle/commit.ts",
    from: '          requestSession.detach("superseded");\n          return true;\n        }\n        base',
    to: '          requestSession.detach("superseded");\n          requestSession.cookie.clear(requestSession.isSecure);\n          return true;\n        }\n        base',
  },
  {
    name: "a superseded token whose cookie is cleared",
    file: "src/request/request-session.ts",
    from: "      this.#state = state;\n      this.progress",
    to: '      this.#state = state;\n      if (this.tokenStatus === "superseded") this.cookie.clear(this.isSecure);\n      this.progress',
  },
  {
    name: "an ended session whose cookie is cleared by a late request",
    file: "src/request/request-session.ts",
    from: "    this.changes.forgetData();\n    this.cookie.withdraw();",
    to: "    this.changes.forgetData();\n    this.cookie.clear(this.isSecure);",
  },
  {
    name: "save() that does not wait",
    file: "src/request/session-handle.ts",
    from: 'await commit(requestSession, "save", progress.canSetCookie, onConflict);',
    to: 'void commit(requestSession, "save", progress.canSetCookie, onConflict)?.catch(() => {});',
  },
  {
    name: "a sign-out that keeps what the request has written before",
    file: "src/request/pending-changes.ts",
    from: "    this.forget();\n    this.#requested = { signOut: {} };",
    to: "    this.#setAside = undefined;\n    this.#requested = { signOut: {} };",
  },
  {
    name: "a visitor who reads, and gets a session",
    file: "src/lifecycle/decisions.ts",
    from: '      return changes.signedIn || changes.changed ? "create" : "nothing";\n    case "superseded"',
    to: '      return "create";\n    case "superseded"',
  },
  {
    name: "reload() that does not look whether the token was invalidated",
    file: "src/request/reload.ts",
    from: "const isSame = loaded?.record.epoch === token.epoch;",
    to: "const isSame = loaded !== undefined;",
  },
  {
    name: "a deadline of its own for each call of the store",
    file: "src/deadline.ts",
    from: "return this.#isOver ? 0 : this.#end - performance.now();",
    to: "return this.#limit;",
  },
  {
    name: "a change while the body is sent that is not stored",
    file: "src/request/finish-response.ts",
    from: 'return commit(requestSession, "save");',
    to: "void commit;\n  return undefined;",
  },
  {
    name: "a body that ends before the changes are stored that came while it was sent",
    file: "src/request/fetch-response.ts",
    from: "        try {\n          await finish();\n",
    to: "        try {\n          void Promise.resolve(finish()).catch(() => {});\n",
  },
  {
    name: "an id that is used again after a sign-out",
    file: "src/request/request-session.ts",
    from: "    // An id is never used twice: after a sign-out another session may begin.\n    this.#newToken = undefined;\n",
    to: "",
  },
  {
    name: "put back: the id of a session that another request has prevented is used again",
    file: "src/request/request-session.ts",
    from: "    // A new session that was stored under it may have been dropped, and its deletion may come late.\n    this.#newToken = undefined;\n",
    to: "",
  },
  {
    name: "two tokens of one session, of which the last counts",
    file: "src/request/presented-tokens.ts",
    from: "    if (rank >= foundRank) continue;\n",
    to: "",
  },
  {
    name: "a response with a cookie that shared caches may keep",
    file: "src/request/respond.ts",
    from: "    forbidSharing(headers);\n",
    to: "",
  },
  {
    name: "a personal response that shared caches may keep",
    file: "src/request/respond.ts",
    from: "    markPrivate(headers);\n",
    to: "",
  },
  {
    name: "an error that caches may keep",
    file: "src/request/respond.ts",
    from: "  forbidCaching(headers, requestSession.bearer?.vary);\n",
    to: "",
  },
  {
    name: "a cookie that ends with the idle timeout",
    file: "src/request/outgoing-cookie.ts",
    from: "const lifetime = absoluteEnd(record, timeouts) - now();",
    to: "const lifetime = timeouts.idle;",
  },
  {
    name: "save() that was not to merge, and merges",
    file: "src/lifecycle/commit.ts",
    from: 'if (this.#onConflict === "fail" && newest.data !== this.snapshot.base.data) {',
    to: 'if (this.#onConflict === "fail" && newest.data === "") {',
  },
  {
    name: "a verified token that is remembered by its id",
    file: "src/record/verified-tokens.ts",
    from: 'hash("sha256", token, "binary")',
    to: 'hash("sha256", token.slice(0, 22), "binary")',
  },
  {
    name: "a decrypted record that is known by its length",
    file: "src/record/recent-records.ts",
    from: " || found.encrypted !== textOf(encrypted)",
    to: "",
  },
  {
    name: "revokeAll() that keeps a failure to itself",
    file: "src/concurrency.ts",
    from: "  if (failures.length > 0) throw failures[0];\n",
    to: "",
  },
];
