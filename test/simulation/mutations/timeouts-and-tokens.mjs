/**
 * Mistakes with timeouts, tokens and their rotation.
 *
 * In `file`, the text `from` becomes `to`.
 */
export const TIMEOUTS_AND_TOKENS = [
  {
    name: "rotation without grace",
    file: "src/lifecycle/rotation.ts",
    from: "const inGrace = now < rotation.since + (policy?.grace ?? 0);",
    to: "const inGrace = false;",
  },
  {
    name: "a grace without end",
    file: "src/lifecycle/rotation.ts",
    from: "const inGrace = now < rotation.since + (policy?.grace ?? 0);",
    to: "const inGrace = true;",
  },
  {
    name: "a grace that begins before the successor was seen",
    file: "src/lifecycle/rotation.ts",
    from: "since: Math.max(now, rotation?.since ?? 0), previous",
    to: "since: rotation?.since ?? 0, previous",
  },
  {
    name: "an idle timeout that is twice as long",
    file: "src/lifecycle/timeouts.ts",
    from: "return Math.min(now + idleTimeoutOf(session, timeouts), absoluteEnd(session, timeouts));",
    to: "return Math.min(now + 2 * idleTimeoutOf(session, timeouts), absoluteEnd(session, timeouts));",
  },
  {
    name: "an absolute timeout that activity moves",
    file: "src/lifecycle/timeouts.ts",
    from: "return Math.min(now + idleTimeoutOf(session, timeouts), absoluteEnd(session, timeouts));",
    to: "return now + idleTimeoutOf(session, timeouts);",
    also: { file: "src/lifecycle/decisions.ts", from: " || now >= absoluteEnd(session, timeouts)", to: "" },
  },
  {
    name: "remembered timeouts that are forgotten",
    file: "src/lifecycle/timeouts.ts",
    from: "return Math.min(now + idleTimeoutOf(session, timeouts), absoluteEnd(session, timeouts));",
    to: "return Math.min(now + timeouts.idle, absoluteEnd(session, timeouts));",
  },
  {
    name: "a passive request that extends",
    file: "src/lifecycle/plan.ts",
    from: "      !requestSession.passive &&\n",
    to: "",
  },
  {
    name: "a touch that never comes",
    file: "src/lifecycle/timeouts.ts",
    from: "return gain > 0 && gain >= Math.min(interval, rest);",
    to: "return gain > 0 && gain >= rest;",
  },
  {
    name: "signatures that are not checked",
    file: "src/record/token.ts",
    from: "if (key < 0) return undefined;",
    to: "",
  },
  {
    name: "secrets that are not compared",
    file: "src/lifecycle/rotation.ts",
    from: 'if (equals(secretHash)) return "current";',
    to: 'if (epoch === record.epoch) return "current";',
  },
  {
    name: "a touch that ignores the absolute timeout",
    file: "src/lifecycle/commit.ts",
    from: "const expiresAt = extendedEnd(context.now(), loaded.record, context.timeouts);",
    to: "const expiresAt = context.now() + (loaded.record.idle ?? context.timeouts.idle);",
  },
  {
    name: "an idle timeout that counts from the sign-in",
    file: "src/lifecycle/timeouts.ts",
    from: "return Math.min(now + idleTimeoutOf(session, timeouts), absoluteEnd(session, timeouts));",
    to: "return Math.min((session.signedInAt ?? session.createdAt) + idleTimeoutOf(session, timeouts), absoluteEnd(session, timeouts));",
  },
  {
    name: "a write that does not extend",
    file: "src/lifecycle/commit.ts",
    from: "const expiresAt = requestSession.passive ? base.expiresAt : extendedEnd(context.now(), record, context.timeouts);",
    to: "const expiresAt = base.expiresAt + 0 * extendedEnd(context.now(), record, context.timeouts);",
  },
  {
    name: "a touch interval four times as long",
    file: "src/lifecycle/timeouts.ts",
    from: "const interval = Math.min(timeouts.touchInterval, idleTimeoutOf(session, timeouts) / 2);",
    to: "const interval = 4 * Math.min(timeouts.touchInterval, idleTimeoutOf(session, timeouts) / 2);",
  },
  {
    name: "a last stretch before the absolute timeout that is not taken",
    file: "src/lifecycle/timeouts.ts",
    from: "return gain > 0 && gain >= Math.min(interval, rest);",
    to: "return gain > 0 && gain >= interval + 0 * rest;",
  },
  {
    name: "a successor that is random",
    file: "src/request/presented-tokens.ts",
    from: "secret: next ?? possible[0]!",
    to: "secret: next ?? createRandomPart()",
    also: {
      file: "src/request/presented-tokens.ts",
      from: 'import { Deadline } from "../deadline.ts";',
      to: 'import { Deadline } from "../deadline.ts";\nimport { createRandomPart } from "../random.ts";',
    },
  },
  {
    name: "a successor that is issued and not stored",
    file: "src/lifecycle/commit.ts",
    from: ": { rotation };",
    to: ": { rotation: record.rotation ?? (rotation && { since: rotation.since }) };",
  },
  {
    name: "a lost rotation that is not issued again",
    file: "src/lifecycle/rotation.ts",
    from: 'if (rotation?.next) return "reissue";',
    to: 'if (rotation?.next) return "none";',
  },
  {
    name: "a rotation that never comes",
    file: "src/lifecycle/rotation.ts",
    from: '(rotation?.since ?? issuedAt) + policy.every ? "name" : "none"',
    to: '(rotation?.since ?? issuedAt) + 50 * policy.every ? "name" : "none"',
  },
  {
    name: "a successor that is confirmed without its predecessor",
    file: "src/lifecycle/rotation.ts",
    from: "previous: current };",
    to: "previous: undefined };\n  void current;",
  },
  {
    name: "a replay that ends nothing",
    file: "src/request/presented-tokens.ts",
    from: "(yield* wait(remove(context, id, deadline)))",
    to: "(yield* wait(Promise.resolve(remove !== undefined)))",
  },
  {
    name: "a replay that is taken for a visitor of the same session",
    file: "src/lifecycle/rotation.ts",
    from: '  return "replayed";',
    to: '  return rotation.previous && equals(rotation.previous) ? "superseded" : "replayed";',
  },
  {
    name: "a token of a former epoch that is accepted",
    file: "src/lifecycle/rotation.ts",
    from: 'if (!rotation || epoch !== record.epoch) return "superseded";',
    to: 'if (epoch !== record.epoch) return epoch < record.epoch ? "current" : "superseded";\n  if (!rotation) return "superseded";',
  },
  {
    name: "a sign-out that another request undoes with its rotated cookie",
    file: "src/request/outgoing-cookie.ts",
    from: "  withdraw(): void {\n    this.#pending = this.#written = undefined;",
    to: "  withdraw(): void {",
  },
];
