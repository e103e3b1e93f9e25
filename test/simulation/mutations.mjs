// Breaks the library on purpose, one mistake at a time, and has the simulation find each: node
// test/simulation/mutations.mjs
// [name …] [--seconds 120]. Works in a copy of the sources. A mutation whose text is not found any more is an error: adjust it.
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ROOT } from "../../scripts/setup.mjs";

/** In `file`, the text `from` becomes `to`. */
const MUTATIONS = [
  {
    name: "an update that ignores the version",
    file: "src/stores/memory.ts",
    from: "if (entry === undefined || entry.version !== expectedVersion) return false;",
    to: "if (entry === undefined) return false;",
  },
  {
    name: "a touch that resurrects",
    file: "src/stores/memory.ts",
    from: "      checkTime(expiresAt);\n      const entry = live(id);\n      if (entry === undefined) return false;",
    to: "      const found = live(id);\n      if (found === undefined) return false;\n      const { payload, version } = found;\n      await new Promise((resolve) => setTimeout(resolve, 3));\n      const entry = Object.assign(found, { payload, version });\n      if (!sessions.has(id)) {\n        sessions.set(entry.id, entry);\n        heap.add(entry);\n      }",
  },
  {
    name: "a response that does not wait for its save",
    file: "src/request/respond.ts",
    from: "return storing\n    .then(() => writeHeaders(requestSession, headers))",
    to: "writeHeaders(requestSession, headers);\n  storing.catch(() => {});\n  return Promise.resolve()",
  },
  {
    name: "a merge that overwrites what others have set",
    file: "src/changes/replay.ts",
    from: "  const merged = decode(newest.data);\n",
    to: "  const merged = decode(content.data);\n",
  },
  {
    name: "an update function that is not applied again",
    file: "src/changes/replay.ts",
    from: "    const steps = changes.get(key) ?? [];\n",
    to: "    const steps = changes.has(key) ? WHOLE : [];\n",
  },
  {
    name: "a retry that does not replay the journal",
    file: "src/lifecycle/commit.ts",
    from: "content = this.#changes ? this.replayOn(base.record) : base.record;",
    to: "",
  },
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
    name: "rotation by the record that the request has read",
    file: "src/lifecycle/commit.ts",
    from: 'const step = token ? "none" : stepIn(requestSession, base, this.#withResponse);',
    to: 'const step = token ? "none" : stepIn(requestSession, began, this.#withResponse);',
  },
  {
    name: "a grace that begins before the successor was seen",
    file: "src/lifecycle/rotation.ts",
    from: "since: Math.max(now, rotation?.since ?? 0), previous",
    to: "since: rotation?.since ?? 0, previous",
  },
  {
    name: "a sign-in that leaves the old session",
    file: "src/lifecycle/new-session.ts",
    from: "await session.store(() => endFormerSession(commit, session));",
    to: "await session.store(async () => true);",
  },
  {
    name: "rotate() that keeps the epoch",
    file: "src/lifecycle/commit.ts",
    from: "epoch: nextEpoch(began.record.epoch) }",
    to: "epoch: began.record.epoch }",
  },
  {
    name: "a sign-in that keeps the former user's data",
    file: "src/request/session-handle.ts",
    from: "isAnotherUser(requestSession, userId) ? [] : asked.keep",
    to: "asked.keep",
  },
  {
    name: "a sign-in that forgets what others have changed meanwhile",
    file: "src/lifecycle/new-session.ts",
    from: "      if (!isAnotherUser(requestSession, userId)) await session.takeOver(commit.replayOn(newest.record));\n",
    to: "",
  },
  {
    name: "a sign-out that deletes without compare-and-set",
    file: "src/lifecycle/end.ts",
    from: "  if (!isEnded) return false;\n",
    to: "",
  },
  {
    name: "a revocation that does not follow a sign-in",
    file: "src/users.ts",
    from: "      if (ended.movedTo === undefined) return false;\n      id = ended.movedTo;",
    to: "      return false;\n      id = ended.movedTo!;",
  },
  {
    name: "a sign-out that only clears the cookie",
    file: "src/lifecycle/commit.ts",
    from: "if (await endIfUnchanged(context, id, base, this.deadline)) {",
    to: "if (base !== undefined) {",
  },
  {
    name: "an update of an ended session that creates it anew",
    file: "src/lifecycle/commit.ts",
    from: '        case "drop":\n          this.drop("ended");\n          return true;',
    to: '        case "drop":\n          return context.store.create(id, encryptSession(context, id, next)).then(() => true);',
  },
  {
    name: "a superseded request that is merged",
    file: "src/lifecycle/decisions.ts",
    from: 'if (!newest.ended && !newest.superseded) return "again";',
    to: 'if (!newest.ended) return "again";',
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
    name: "a passive update that shortens the expiry",
    file: "src/lifecycle/commit.ts",
    from: "return await this.replaceRecord(id, base, next, requestSession.passive);",
    to: "return await this.replaceRecord(id, base, next, false);",
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
    name: "a change in place that takes one side's object whole",
    file: "src/changes/merge.ts",
    from: "  mergeContainer(base, mine, theirs, merging, path);\n  return theirs;",
    to: "  void mergeContainer;\n  return mine;",
  },
  {
    name: "a Set's members of others that are lost",
    file: "src/changes/merge.ts",
    from: "if (before.has(text) && !now.has(text)) theirs.delete(member);",
    to: "if (!now.has(text)) theirs.delete(member);",
  },
  {
    name: "an array's items of others that are lost",
    file: "src/changes/merge.ts",
    from: "if (isInPlace && changes.length === 0) append(theirs, appended);",
    to: "if (isInPlace && changes.length === 0) theirs.splice(before.length, theirs.length, ...appended);",
  },
  {
    name: "flashes that are shown twice",
    file: "src/changes/flashes.ts",
    from: "    .filter(({ key }) => !before.has(key) || kept.has(key))\n",
    to: "",
  },
  {
    name: "flashes of others that are lost",
    file: "src/changes/flashes.ts",
    from: "  return newest\n",
    to: "  return base\n",
  },
  {
    name: "a store's failure that is not told",
    file: "src/lifecycle/commit.ts",
    from: "        if (isSave) changes.setAside(attempt.requested);\n        throw error;",
    to: "        if (isSave) changes.setAside(attempt.requested);\n        if (isSave) throw error;",
  },
  {
    name: "a deadline that bounds nothing",
    file: "src/deadline.ts",
    from: "const left = this.#end - performance.now();",
    to: "const left = 60_000;",
  },
  {
    name: "an outage that makes anonymous",
    file: "src/record/load.ts",
    from: '  const stored = await deadline.run("read", () => context.store.read(id));',
    to: '  const stored = await deadline.run("read", () => context.store.read(id)).catch(() => undefined);',
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
    name: "a signal that only hears, and does not look",
    file: "src/signals.ts",
    from: "    scheduleCheck(id, watch, 0);\n",
    to: "",
  },
  {
    name: "no putting back after a failed sign-in",
    file: "src/lifecycle/end.ts",
    from: '    return await deadline.run("update", () => store.update(id, stored, replaced));',
    to: "    return false;",
  },
  {
    name: "put back: a sign-in that failed puts back what another has invalidated",
    file: "src/lifecycle/new-session.ts",
    from: "if (!(await commit.replaceRecord(id, newest, kept, true))) return false;",
    to: "void kept;",
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
];

const args = process.argv.slice(2);
const at = args.indexOf("--seconds");
const seconds = at < 0 ? 120 : Number(args.splice(at, 2)[1]);
const chosen = args.length === 0 ? MUTATIONS : MUTATIONS.filter(({ name }) => args.some((word) => name.includes(word)));

const folder = mkdtempSync(join(tmpdir(), "sojourn-mutations-"));
let missed = 0;
try {
  for (const name of ["package.json", "tsconfig.json", "tsconfig.build.json"])
    cpSync(join(ROOT, name), join(folder, name));
  symlinkSync(join(ROOT, "node_modules"), join(folder, "node_modules"));
  for (const mutation of chosen) {
    const outcome = find(mutation);
    if (!outcome.isFound) missed++;
    console.log(`| ${mutation.name} | ${outcome.isFound ? "found" : "MISSED"} | ${outcome.told} |`);
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
process.exit(missed > 0 ? 1 : 0);

function find(mutation) {
  for (const part of ["src", "test/simulation", "test/support"]) {
    rmSync(join(folder, part), { recursive: true, force: true });
    mkdirSync(join(folder, part), { recursive: true });
    cpSync(join(ROOT, part), join(folder, part), { recursive: true });
  }
  for (const patch of [mutation, mutation.also]) if (patch) apply(patch);
  const built = run("node_modules/typescript/bin/tsc", "-p", "tsconfig.build.json", "--noCheck");
  if (built.status !== 0) throw new Error(`${mutation.name} does not compile:\n${built.stdout}`);
  const minutes = String(seconds / 60);
  const { status, stdout, stderr } = run(
    "--no-warnings",
    "--import",
    "tsx",
    "test/simulation/main.ts",
    "--terse",
    "--seed",
    "1",
    "--minutes",
    minutes,
  );
  const lines = stdout.trim().split("\n");
  if (status === 1 && lines.length >= 2)
    return { isFound: true, told: `${lines.at(-1)} | ${lines.at(-2).slice(0, 110)}` };
  return { isFound: false, told: `${lines.at(-1)} ${stderr.slice(0, 300)}` };
}

function apply({ file, from, to }) {
  const path = join(folder, file);
  const text = readFileSync(path, "utf8");
  if (text.split(from).length !== 2) throw new Error(`${file} does not have this text once:\n${from}`);
  writeFileSync(
    path,
    text.replace(from, () => to),
  );
}

function run(...words) {
  return spawnSync(process.execPath, words, { cwd: folder, encoding: "utf8", maxBuffer: 2 ** 26 });
}
