import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { inspect } from "node:util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openStore, type OpenStoreOptions } from "./open.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "sojourn-open-test-"));
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

const session = () => ({ payload: new Uint8Array([1, 2, 3]), version: 1, expiresAt: Date.now() + 60_000 });

describe("openStore", () => {
  it("opens a directory by its path or by a file URL", async () => {
    const directory = join(folder, "of sessions");
    const one = await openStore(`file:${directory.replaceAll(" ", "%20")}`);
    const other = await openStore(pathToFileURL(directory).href);
    expect(await one.create("a", session())).toBe(true);
    expect((await other.read("a"))?.version).toBe(1);
    await one.close();
    await other.close();
    await expect(one.read("a")).rejects.toThrow(/closed/);
  });

  it("opens the store in the temporary directory if the URL has no path", async () => {
    const store = await openStore("file:");
    expect(await store.read("nobody-has-this-id-0001")).toBeUndefined();
    await store.close();
  });

  it("refuses a URL that it can't read, and names the URLs that it accepts", async () => {
    const refused: [url: string, message: RegExp, options?: OpenStoreOptions][] = [
      ["mongodb://localhost", /file:, sqlite:, redis:/],
      ["sessions.db", /such as redis:/],
      ["", /such as redis:/],
      ["sqlite:", /name a file/],
      [`file:${folder}?table=x`, /A file: URL has no option "table": remove it/],
      ["redis://localhost?tabel=x", /no option "tabel": use any of prefix, announceChanges/],
      ["redis://localhost?announceChanges=yes", /announceChanges must be true or false/],
      ["redis://localhost/sessions", /a database's number, such as \/0/],
      ["redis://localhost/0/1", /a database's number, such as \/0/],
      ["redis://somebody@localhost", /give the password as well/],
      ["redis+cluster://somebody@one:7000", /give the password as well/],
      ["redis+cluster://one:70000", /list nodes/],
      ["sqlite:///a%zz", /%25/],
      ["redis+cluster://", /list nodes/],
      ["redis+cluster://one:7000,two:x", /list nodes/],
      ["file:/a%zz", /%25/],
      ["file:", /no option "create"/, { create: true } as OpenStoreOptions],
    ];
    for (const [url, message, options] of refused) {
      const failure: unknown = await openStore(url, options).catch((error: unknown) => error);
      expect(failure).toBeInstanceOf(TypeError);
      expect(String(failure)).toMatch(message);
    }
  });

  it("rejects at once if the server is unreachable, without the password in the error", async () => {
    for (const url of [
      "redis://someone:s3cret@127.0.0.1:1",
      "redis+cluster://someone:s3cret@127.0.0.1:1",
      "postgres://someone:s3cret@127.0.0.1:1/app",
      "mysql://someone:s3cret@127.0.0.1:1/app",
    ]) {
      const failure: unknown = await openStore(url).catch((error: unknown) => error);
      expect(failure).toBeInstanceOf(Error);
      expect(inspect(failure, { depth: 9 })).toMatch(/can't connect|ECONNREFUSED/);
      expect(inspect(failure, { depth: 9 })).not.toMatch(/s3cret/);
    }
  });

  it.each(["redis", "rediss", "postgres", "mysql"])(
    "does not show the password of a %s URL that it can't read",
    async (scheme) => {
      for (const password of ["s3cret/more", "s3cret#more", "s3cret?more", "s3cret%zz"]) {
        const failure: unknown = await openStore(`${scheme}://someone:${password}@localhost/0`).catch(
          (error: unknown) => error,
        );
        expect(failure).toBeInstanceOf(TypeError);
        expect(inspect(failure, { depth: 9 })).toMatch(/in a password, write/);
        expect(inspect(failure, { depth: 9 })).not.toMatch(/s3cret/);
      }
      for (const url of [
        "redis:s3cret@localhost",
        "sqlite://someone:s3cret@localhost",
        `${scheme}://someone:x?s3cret&y@localhost`,
        `${scheme}://someone:x?s3cret=y@localhost`,
        `${scheme}://someone:x?announceChanges=s3cret@localhost`,
      ]) {
        const failure: unknown = await openStore(url).catch((error: unknown) => error);
        expect(inspect(failure, { depth: 9 })).not.toMatch(/s3cret/);
      }
    },
  );
});
