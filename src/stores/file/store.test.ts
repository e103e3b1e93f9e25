import {
  chmodSync,
  chownSync,
  existsSync,
  lchownSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { StoredSession } from "../../store.ts";
import { storeContract } from "../../testing/index.ts";
import { fileUserIndex } from "./user-index.ts";
import { hashId, hashUserId } from "./names.ts";
import { filesIn } from "./files.ts";
import { fileStore, type FileStoreOptions, type Quarantined } from "./store.ts";

const HOUR = 3_600_000;
const isRoot = process.getuid?.() === 0;
const hasModes = process.getuid !== undefined;

let base: string;
let made = 0;
beforeEach(() => void (base = mkdtempSync(join(tmpdir(), "sojourn-test-"))));
afterEach(() => {
  vi.unstubAllEnvs();
  vi.useRealTimers();
  rmSync(base, { recursive: true, force: true });
});

const newDirectory = (): string => join(base, `store-${(made += 1)}`);
const session = (given: Partial<StoredSession> = {}): StoredSession => ({
  payload: new TextEncoder().encode("data"),
  version: 1,
  expiresAt: Date.now() + HOUR,
  ...given,
});

const makeStore = (options: unknown) => () => fileStore(options as FileStoreOptions);

/** Makes a store, and collects its quarantined files. */
function storeWithQuarantine(options: FileStoreOptions = {}) {
  const quarantined: Quarantined[] = [];
  const store = fileStore({
    directory: newDirectory(),
    onQuarantine: (found) => void quarantined.push(found),
    ...options,
  });
  return { store, quarantined };
}

/** Returns the paths of all files below a directory. */
function filesBelow(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

/** Advances the clock: unfinished writes of before count as abandoned now, and sessions have not expired yet. */
function advanceClock(): void {
  vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + HOUR / 4 });
}

function locate(store: { locate(id: string): string | undefined }, id: string): string {
  const path = store.locate(id);
  if (path === undefined) throw new Error(`${id} is not there`);
  return path;
}

/** All optional capabilities of a store. */
const ALL = ["idsOfUser", "all", "deleteExpired", "subscribe", "close"] as const;

describe("fileStore and the store contract, over two stores on one directory", () => {
  const cases = storeContract(
    ({ clock }) => {
      const directory = newDirectory();
      return [fileStore({ directory, clock }), fileStore({ directory, clock })];
    },
    { capabilities: ALL },
  );
  it.each(cases)("$name", async ({ run }) => {
    await expect(run()).resolves.toBeUndefined();
  });
});

describe("fileStore: its directory", () => {
  it("is specific to this user and this application in the temporary directory", () => {
    vi.stubEnv("TMPDIR", base);
    const { directory } = fileStore();
    expect(dirname(directory)).toBe(realpathSync(base));
    expect(basename(directory)).toMatch(/^sojourn-[^-]+-[\w-]+-[0-9a-f]{8}$/);
    expect(fileStore().directory).toBe(directory);
  });

  it("can be passed as a string", async () => {
    const directory = newDirectory();
    const store = fileStore(directory);
    expect(store.directory).toBe(directory);
    await store.create("a", session());
    expect((await fileStore({ directory }).read("a"))?.version).toBe(1);
  });

  it.skipIf(!hasModes)("has content that only this user can access", async () => {
    const { store } = storeWithQuarantine();
    await store.create("a", session({ userId: "ada" }));
    expect(statSync(store.directory).mode & 0o777).toBe(0o700);
    for (const entry of readdirSync(store.directory, { recursive: true, withFileTypes: true })) {
      const { mode } = statSync(join(entry.parentPath, entry.name));
      expect(mode & 0o777).toBe(entry.isDirectory() ? 0o700 : 0o600);
    }
  });

  it.skipIf(!hasModes)("is refused if its group or others can write", () => {
    for (const mode of [0o777, 0o1777, 0o770, 0o702]) {
      const directory = newDirectory();
      mkdirSync(directory);
      chmodSync(directory, mode);
      expect(() => fileStore({ directory })).toThrow(`chmod 700 ${directory}`);
    }
  });

  it.skipIf(!isRoot)("is refused if it belongs to another user (needs root to change the owner)", () => {
    const directory = newDirectory();
    mkdirSync(directory, 0o700);
    chownSync(directory, 12_345, 12_345);
    expect(() => fileStore({ directory })).toThrow(/belongs to user 12345.*chown/);
  });

  it("is refused if it is a link in the temporary directory", () => {
    vi.stubEnv("TMPDIR", base);
    const { directory } = fileStore();
    renameSync(directory, newDirectory());
    symlinkSync(newDirectory(), directory);
    mkdirSync(join(base, `store-${made}`));
    expect(() => fileStore()).toThrow(/symbolic link.*fileStore\(\{ directory \}\)/);
  });

  it("may be a link if the application passes it", async () => {
    const [target, link] = [newDirectory(), newDirectory()];
    mkdirSync(target, 0o700);
    symlinkSync(target, link);
    expect(await fileStore(link).create("a", session())).toBe(true);
  });

  it.skipIf(!hasModes)(
    "is refused below a directory that its group or everybody can write, unless that is sticky",
    () => {
      for (const mode of [0o777, 0o775, 0o770, 0o702]) {
        const above = newDirectory();
        mkdirSync(join(above, "between"), { recursive: true });
        chmodSync(above, mode);
        for (const directory of [join(above, "sessions"), join(above, "between", "sessions")]) {
          expect(() => fileStore(directory)).toThrow(`chmod go-w ${above}`);
          // The store must not have made a directory there.
          expect(existsSync(directory)).toBe(false);
        }
        chmodSync(above, 0o1000 | mode);
        expect(() => fileStore(join(above, "sessions"))).not.toThrow();
      }
    },
  );

  it.skipIf(!isRoot)(
    "is refused below a directory of another user, sticky or not (needs root to change the owner)",
    () => {
      for (const mode of [0o755, 0o1777]) {
        const above = newDirectory();
        mkdirSync(above);
        chmodSync(above, mode);
        chownSync(above, 12_345, 12_345);
        expect(() => fileStore(join(above, "sessions"))).toThrow(
          new RegExp(`lies in ${above}, which belongs to user 12345.*chown`),
        );
      }
    },
  );

  it.skipIf(!hasModes)(
    "is refused behind a link that others could replace, and stays where it led otherwise",
    async () => {
      const [target, elsewhere, above] = [newDirectory(), newDirectory(), newDirectory()];
      for (const directory of [target, elsewhere, above]) mkdirSync(directory, { mode: 0o700 });
      const link = join(above, "link");
      symlinkSync(target, link);
      for (const directory of [link, join(link, "sessions")]) {
        chmodSync(above, 0o777);
        expect(() => fileStore(directory)).toThrow(`chmod go-w ${above}`);
        chmodSync(above, 0o1777);
        const store = fileStore(directory);
        await store.create("a", session());
        unlinkSync(link);
        symlinkSync(elsewhere, link);
        expect((await store.read("a"))?.version).toBe(1);
        unlinkSync(link);
        symlinkSync(target, link);
      }
    },
  );

  it.skipIf(!isRoot)(
    "is refused if its path contains another user's link in a sticky directory (needs root to change the owner)",
    () => {
      const [target, above] = [newDirectory(), newDirectory()];
      mkdirSync(target, { mode: 0o700 });
      mkdirSync(above);
      chmodSync(above, 0o1777);
      const link = join(above, "link");
      symlinkSync(target, link);
      lchownSync(link, 12_345, 12_345);
      for (const directory of [link, join(link, "sessions")]) {
        expect(() => fileStore(directory)).toThrow(/link.*another user's link.*another directory/);
      }
    },
  );

  it("follows relative links, absolute links, and links to links", async () => {
    const [target, above] = [newDirectory(), newDirectory()];
    for (const directory of [target, above]) mkdirSync(directory, { mode: 0o700 });
    symlinkSync(`../${basename(target)}/./`, join(above, "up"));
    symlinkSync("up", join(above, "other"));
    symlinkSync(join(above, "other"), join(above, "root"));
    const store = fileStore(join(above, "root", "sessions"));
    expect(store.directory).toBe(join(realpathSync(target), "sessions"));
    symlinkSync("self", join(above, "self"));
    expect(() => fileStore(join(above, "self"))).toThrow(/too many (symbolic )?links/i);
  });

  it("rejects operations after it was deleted, and is not made again empty", async () => {
    const { store } = storeWithQuarantine();
    await store.create("a", session());
    rmSync(store.directory, { recursive: true });
    for (const call of [
      () => store.read("a"),
      () => store.read("b"),
      () => store.create("b", session()),
      () => store.update("a", session({ version: 2 }), 1),
      () => store.touch("a", Date.now() + 2 * HOUR),
      () => store.delete("a"),
      () => store.idsOfUser("ada"),
      () => store.deleteExpired(1),
    ]) {
      await expect(call()).rejects.toMatchObject({ code: "ENOENT" });
    }
    expect(existsSync(store.directory)).toBe(false);
  });

  it("gets its shards again after another program has deleted old temporary files", async () => {
    const { store } = storeWithQuarantine();
    await store.create("a", session());
    for (const tree of ["pointers", "contents"]) rmSync(join(store.directory, tree), { recursive: true });
    expect(await store.read("a")).toBeUndefined();
    expect(await store.create("a", session())).toBe(true);
    expect(await store.read("a")).toBeDefined();
  });

  it("may contain files of other programs", async () => {
    const { store, quarantined } = storeWithQuarantine();
    await store.create("a", session({ userId: "ada" }));
    const key = hashId("a");
    for (const tree of ["pointers", "contents", "users"]) {
      mkdirSync(join(store.directory, tree, "zzz"));
      writeFileSync(join(store.directory, tree, "README"), "");
      for (const shard of readdirSync(join(store.directory, tree))) {
        if (!statSync(join(store.directory, tree, shard)).isDirectory()) continue;
        for (const name of ["README", ".DS_Store", key, `${key}.x`, `${key}.01.a-b.5`, `${hashUserId("ada")}.x`]) {
          writeFileSync(join(store.directory, tree, shard, name), "");
        }
      }
    }
    advanceClock();
    const reopened = fileStore(store.directory);
    expect(await reopened.read("a")).toBeDefined();
    expect(await reopened.idsOfUser("ada")).toEqual(["a"]);
    expect(await reopened.deleteExpired(100)).toBe(0);
    const ids: string[] = [];
    for await (const id of reopened.all()) ids.push(id);
    expect(ids).toEqual(["a"]);
    expect(await reopened.delete("a")).toBe(true);
    expect(quarantined).toEqual([]);
  });

  it("has no session id and no user id in the names of its files", async () => {
    const { store } = storeWithQuarantine();
    const [id, userId] = ["id-to-be-found", "user-to-be-found"];
    await store.create(id, session({ userId }));
    await store.update(id, session({ version: 2, userId }), 1);
    expect(filesBelow(store.directory).filter((path) => /to-be-found/.test(path))).toEqual([]);
  });
});

describe("fileStore", () => {
  it("has at most four files for a session with a user, and none after it has ended", async () => {
    const { store } = storeWithQuarantine();
    await store.create("a", session({ userId: "ada" }));
    await store.update("a", session({ version: 2, userId: "grace" }), 1);
    await store.touch("a", Date.now() + 2 * HOUR);
    await store.update("a", session({ version: 9, userId: "grace" }), 1);
    await store.create("a", session({ userId: "ada" }));
    expect(filesBelow(store.directory)).toHaveLength(4);
    await store.delete("a");
    // The notification stays for two minutes, for other processes.
    expect(filesBelow(store.directory).filter((path) => !path.includes("/ended/"))).toEqual([]);
  });

  it("returns the path of a session's content", async () => {
    const { store } = storeWithQuarantine();
    expect(store.locate("a")).toBeUndefined();
    await store.create("a", session());
    const first = locate(store, "a");
    expect(readFileSync(first, "latin1")).toMatch(/^SJN1.*\["[^"]+","a"\]data$/s);
    await store.update("a", session({ version: 2 }), 1);
    expect(locate(store, "a")).not.toBe(first);
    expect(existsSync(locate(store, "a"))).toBe(true);
    await store.delete("a");
    expect(store.locate("a")).toBeUndefined();
  });

  it("overwrites the previous content file of the session, which is no longer used", async () => {
    const { store } = storeWithQuarantine();
    await store.create("a", session({ payload: new Uint8Array(100_000).fill(65) }));
    const nodes = new Set<number>();
    for (let version = 2; version < 20; version += 1) {
      const payload = new Uint8Array(1000 - 40 * version).fill(60 + version);
      await store.update("a", session({ version, payload }), version - 1);
      nodes.add(statSync(locate(store, "a")).ino);
      expect(new Uint8Array((await fileStore(store.directory).read("a"))?.payload ?? [])).toEqual(payload);
    }
    expect(nodes.size).toBe(2);
  });

  it("gives an old content file a new name before it writes it, because another process may delete a leftover", async () => {
    const { store } = storeWithQuarantine();
    await store.create("a", session());
    const first = locate(store, "a");
    const node = statSync(first).ino;
    await store.update("a", session({ version: 2 }), 1);
    advanceClock();
    await store.update("a", session({ version: 3 }), 2);
    expect(locate(store, "a")).not.toBe(first);
    expect(statSync(locate(store, "a")).ino).toBe(node);
    expect(existsSync(first)).toBe(false);
  });

  it("keeps one unused file of a session in each process that updates it, whatever process wrote it", async () => {
    const { store } = storeWithQuarantine();
    const other = fileStore(store.directory);
    const ids = Array.from({ length: 100 }, (_, index) => `session-${index}`);
    for (const id of ids) await store.create(id, session());
    for (let version = 2; version <= 5; version += 1) {
      for (const [index, id] of ids.entries()) {
        const text = `${id} in version ${version}${"!".repeat(index)}`;
        const writer = (index + version) % 3 === 0 ? other : store;
        expect(await writer.update(id, session({ version, payload: Buffer.from(text) }), version - 1)).toBe(true);
        for (const reader of [store, other]) {
          expect(Buffer.from((await reader.read(id))?.payload ?? []).toString()).toBe(text);
        }
      }
    }
    expect(filesBelow(join(store.directory, "contents")).length).toBeLessThanOrEqual(300);
    for (const id of ids) await other.delete(id);
    expect(filesBelow(join(store.directory, "pointers"))).toEqual([]);
  });

  it("works without the previous file, which another program may have deleted", async () => {
    const { store } = storeWithQuarantine();
    await store.create("a", session());
    const first = locate(store, "a");
    await store.update("a", session({ version: 2 }), 1);
    unlinkSync(first);
    expect(await store.update("a", session({ version: 3 }), 2)).toBe(true);
    expect(await fileStore(store.directory).update("a", session({ version: 4 }), 3)).toBe(true);
    expect(await store.update("a", session({ version: 5 }), 4)).toBe(true);
    expect((await fileStore(store.directory).read("a"))?.version).toBe(5);
    advanceClock();
    await store.deleteExpired(1);
    expect(filesBelow(store.directory)).toHaveLength(2);
    expect(await store.update("a", session({ version: 6 }), 5)).toBe(true);
    expect((await fileStore(store.directory).read("a"))?.version).toBe(6);
  });

  it("treats ids as different that differ only in a lone surrogate", async () => {
    const { store } = storeWithQuarantine();
    for (const id of ["\ud800", "\ud801", "\ufffd"]) expect(await store.create(id, session())).toBe(true);
    const ids: string[] = [];
    for await (const id of store.all()) ids.push(id);
    expect(ids.toSorted()).toEqual(["\ud800", "\ud801", "\ufffd"].toSorted());
  });

  it("reads the changes of another process at once", async () => {
    const directory = newDirectory();
    const [one, other] = [fileStore(directory), fileStore(directory)];
    await one.create("a", session());
    await other.update("a", session({ version: 2 }), 1);
    expect((await one.read("a"))?.version).toBe(2);
    await other.touch("a", Date.now() + 2 * HOUR);
    expect(await one.update("a", session({ version: 3 }), 2)).toBe(true);
    expect(await other.update("a", session({ version: 3 }), 2)).toBe(false);
    await one.delete("a");
    expect(await other.read("a")).toBeUndefined();
    expect(await other.touch("a", Date.now() + HOUR)).toBe(false);
    expect(await other.delete("a")).toBe(false);
  });

  it("refuses options it doesn't know or can't use", () => {
    expect(makeStore({ path: base })).toThrow(
      /no option "path": it is called directory\. Otherwise use any of directory/,
    );
    for (const bad of ["", { directory: "" }, { directory: 5 }, { clock: 5 }, { onQuarantine: 5 }, null]) {
      expect(makeStore(bad)).toThrow(TypeError);
    }
  });

  it("rejects with the file system's error, and does not change the session", async () => {
    const { store } = storeWithQuarantine();
    await store.create("a", session());
    const before = filesBelow(store.directory);
    const shard = dirname(locate(store, "a"));
    renameSync(shard, `${shard}.kept`);
    writeFileSync(shard, "");
    await expect(store.update("a", session({ version: 2 }), 1)).rejects.toMatchObject({ code: "ENOTDIR" });
    unlinkSync(shard);
    renameSync(`${shard}.kept`, shard);
    expect((await store.read("a"))?.version).toBe(1);
    expect(filesBelow(store.directory)).toEqual(before);
  });
});

describe("fileStore: damage", () => {
  const damages: Record<string, (path: string) => void> = {
    "a missing last byte": (path) => truncateSync(path, statSync(path).size - 1),
    "an empty file": (path) => truncateSync(path, 0),
    "another magic number": (path) => writeFileSync(path, `XXXX${readFileSync(path, "latin1").slice(4)}`, "latin1"),
    "a directory in its place": (path) => {
      unlinkSync(path);
      mkdirSync(path);
    },
    "a link to itself in its place": (path) => {
      unlinkSync(path);
      symlinkSync(path, path);
    },
    "a changed byte": (path) => writeFileSync(path, readFileSync(path, "latin1").replace("data", "dota"), "latin1"),
  };
  for (const [name, damage] of Object.entries(damages)) {
    it(`quarantines a content file with ${name}, and treats the session as missing`, async () => {
      const before = storeWithQuarantine().store;
      await before.create("a", session({ userId: "ada" }));
      damage(locate(before, "a"));
      const { store, quarantined } = storeWithQuarantine({ directory: before.directory });
      expect(await store.read("a")).toBeUndefined();
      expect(await store.read("a")).toBeUndefined();
      expect(quarantined).toHaveLength(1);
      expect(quarantined[0]).toMatchObject({ id: "a", path: expect.stringContaining(join("quarantine", "")) });
      expect(lstatSync(quarantined[0]?.path ?? "")).toBeDefined();
      expect(await store.update("a", session({ version: 2 }), 1)).toBe(false);
      expect(await store.idsOfUser("ada")).toEqual([]);
      expect(await store.create("a", session())).toBe(true);
    });
  }

  it("lists a user's session again after its index entry was deleted and the session was touched", async () => {
    const { store } = storeWithQuarantine();
    await store.create("a", session({ userId: "ada" }));
    for (const path of filesBelow(store.directory)) if (path.includes("/users/")) unlinkSync(path);
    expect(await store.idsOfUser("ada")).toEqual([]);
    await store.touch("a", Date.now() + 2 * HOUR);
    expect(await store.idsOfUser("ada")).toEqual(["a"]);
  });

  it("quarantines a session whose content file is missing", async () => {
    const before = storeWithQuarantine().store;
    await before.create("a", session());
    unlinkSync(locate(before, "a"));
    const { store, quarantined } = storeWithQuarantine({ directory: before.directory });
    expect(await store.read("a")).toBeUndefined();
    expect(quarantined).toMatchObject([{ id: "a", reason: "its content is missing" }]);
  });

  it("quarantines a content file that belongs to another session", async () => {
    const before = storeWithQuarantine().store;
    await before.create("a", session());
    await before.create("b", session());
    writeFileSync(locate(before, "a"), readFileSync(locate(before, "b")));
    const { store, quarantined } = storeWithQuarantine({ directory: before.directory });
    expect(await store.read("a")).toBeUndefined();
    expect(await store.read("b")).toBeDefined();
    expect(quarantined).toMatchObject([{ id: "a", reason: "it was written under another name" }]);
  });

  it("does not list damaged sessions", async () => {
    const before = storeWithQuarantine().store;
    for (const id of ["a", "b"]) await before.create(id, session({ userId: "ada" }));
    truncateSync(locate(before, "a"), 3);
    const { store, quarantined } = storeWithQuarantine({ directory: before.directory });
    expect(await store.idsOfUser("ada")).toEqual(["b"]);
    expect(quarantined).toHaveLength(1);
    expect(quarantined[0]?.id).toBeUndefined();
  });

  it("emits a warning if there is no onQuarantine", async () => {
    const warned = vi.spyOn(process, "emitWarning").mockImplementation(() => undefined);
    const store = fileStore(newDirectory());
    await store.create("a", session());
    truncateSync(locate(store, "a"), 3);
    expect(await fileStore(store.directory).read("a")).toBeUndefined();
    expect(await store.read("a")).toBeUndefined();
    expect(warned).toHaveBeenCalledWith(expect.any(String), { code: "SOJOURN_QUARANTINED" });
    warned.mockRestore();
  });
});

async function storeWithLeftovers() {
  const { store } = storeWithQuarantine();
  await store.create("a", session({ userId: "ada" }));
  const content = locate(store, "a");
  const orphan = content.replace(/\.[^.]*$/, ".0-0");
  const reservation = content.replace(/\.[^.]*$/, ".new");
  for (const path of [orphan, reservation]) writeFileSync(path, "");
  return { store, content, orphan, reservation };
}

describe("fileStore: leftover files of a killed process", () => {
  it("are deleted when they are old, and files of live sessions are not", async () => {
    const { store, content, orphan, reservation } = await storeWithLeftovers();
    advanceClock();
    expect(await store.deleteExpired(100)).toBe(0);
    expect([content, orphan, reservation].map((path) => existsSync(path))).toEqual([true, false, false]);
    expect(await store.read("a")).toBeDefined();
  });

  it("are not deleted while another process may still use them", async () => {
    const { store, content, orphan, reservation } = await storeWithLeftovers();
    await store.deleteExpired(100);
    expect([content, orphan, reservation].map((path) => existsSync(path))).toEqual([true, true, true]);
  });

  it("do not prevent the creation of a session once they are old", async () => {
    const { store } = await storeWithLeftovers();
    await store.delete("a");
    await expect(store.create("a", session())).rejects.toThrow("never finished");
    advanceClock();
    expect(await store.create("a", session())).toBe(true);
  });

  it("do not include the index entry of a session that belongs to its user again", async () => {
    const { store } = storeWithQuarantine();
    await store.create("a", session({ userId: "ada" }));
    // Acts like a process that has just seen the session change to another user.
    const userIndex = fileUserIndex(filesIn(store.directory));
    const entry = { userHash: hashUserId("ada"), key: hashId("a") };
    userIndex.remove(entry);
    expect(await store.idsOfUser("ada")).toEqual([]);
    userIndex.restore([entry]);
    expect(await store.idsOfUser("ada")).toEqual(["a"]);
  });

  it("include entries of the user index, which are deleted when idsOfUser finds them", async () => {
    const { store } = await storeWithLeftovers();
    const [entry] = filesBelow(join(store.directory, "users"));
    if (entry === undefined) throw new Error("no entry");
    await store.delete("a");
    writeFileSync(entry, "");
    expect(await store.idsOfUser("ada")).toEqual([]);
    expect(existsSync(entry)).toBe(true);
    advanceClock();
    expect(await store.idsOfUser("ada")).toEqual([]);
    expect(existsSync(entry)).toBe(false);
  });
});

it("fileStore does not update a session that expires while its new content is written", async () => {
  let readsBeforeExpiry = Infinity;
  const expiresAt = 1_800_000_000_000;
  const { store } = storeWithQuarantine({ clock: () => ((readsBeforeExpiry -= 1) >= 0 ? expiresAt - 1 : expiresAt) });
  await store.create("a", session({ expiresAt }));
  readsBeforeExpiry = 1;
  expect(await store.update("a", session({ version: 2, expiresAt: expiresAt + HOUR }), 1)).toBe(false);
  expect(await store.read("a")).toBeUndefined();
});

describe("fileStore: deleteExpired", () => {
  it("removes every file of an expired session, in calls of any size", async () => {
    const time = { now: 1_800_000_000_000 };
    const { store } = storeWithQuarantine({ clock: () => time.now });
    for (let n = 0; n < 300; n += 1) {
      const expiresAt = time.now + (n % 3 === 0 ? HOUR : 1000 + n);
      await store.create(`s${n}`, session({ expiresAt, ...(n % 2 === 0 ? { userId: `o${n % 20}` } : {}) }));
    }
    time.now += 2000;
    let forgotten = 0;
    for (let count = 7; count === 7; forgotten += count) count = await store.deleteExpired(7);
    expect(forgotten).toBe(200);
    expect(filesBelow(store.directory)).toHaveLength(100 * 2 + 50);
    expect((await store.idsOfUser("o0")).length).toBe(5);
  });

  it("deletes leftover files again soon after a wrong clock is corrected", async () => {
    vi.useFakeTimers({ toFake: ["Date", "performance"] });
    const rightly = Date.now();
    const { store } = storeWithQuarantine();
    await store.create("a", session());
    vi.setSystemTime(rightly + HOUR / 2);
    await store.deleteExpired(10);
    vi.setSystemTime(rightly);
    const leftover = `${locate(store, "a")}z`;
    writeFileSync(leftover, "");
    vi.advanceTimersByTime(HOUR / 4);
    await store.deleteExpired(10);
    expect(existsSync(leftover)).toBe(false);
    expect(await store.read("a")).toBeDefined();
  });

  it("lets the event loop run", async () => {
    const time = { now: 1_800_000_000_000 };
    const { store } = storeWithQuarantine({ clock: () => time.now });
    for (let n = 0; n < 2000; n += 1) await store.create(`s${n}`, session({ expiresAt: time.now + 1 }));
    time.now += 1;
    let iterations = 0;
    let next = setImmediate(function count() {
      iterations += 1;
      next = setImmediate(count);
    });
    expect(await store.deleteExpired(5000)).toBe(2000);
    clearImmediate(next);
    expect(iterations).toBeGreaterThan(1);
  });
});

it.skipIf(!hasModes || isRoot)(
  "fileStore rejects with the engine's error where permission is lost (not as root)",
  async () => {
    const { store } = storeWithQuarantine();
    await store.create("a", session());
    chmodSync(store.directory, 0);
    await expect(store.read("a")).rejects.toMatchObject({ code: "EACCES" });
    chmodSync(store.directory, 0o700);
    expect(lstatSync(store.directory).isDirectory()).toBe(true);
  },
);
