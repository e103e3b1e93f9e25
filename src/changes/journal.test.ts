import { describe, expect, it } from "vitest";
import { seededRandom } from "../../test/support/random.ts";
import { decode, encode, type Dictionary } from "./codec.ts";
import { EMPTY, Journal, replay, type Content } from "./journal.ts";

/** Another user signs in, who gets nothing. */
const BOB = { keep: [], userId: "bob" };

const limits = { bytes: 10_000, depth: 32 };
const contentOf = (data: Dictionary): Content => ({ data: encode(data, limits), flashes: [] });
const journalOn = (base: Content) => new Journal(base, limits);
const dataOf = (content: Content) => ({ ...decode(content.data) });
/** What the journal has changed so far, done to another content. */
function replayed(journal: Journal, newest: Content): Content {
  const snapshot = journal.snapshot();
  journal.restore(snapshot);
  return replay(snapshot, newest, limits);
}
const add = (n: number) => (value: unknown) => ((value as number | undefined) ?? 0) + n;

/** What becomes of `theirs` when a request that began with `base` does `mine` and is stored after it. */
function merged(base: Dictionary, theirs: Dictionary, mine: (journal: Journal) => void): Dictionary {
  const journal = journalOn(contentOf(base));
  mine(journal);
  return dataOf(replayed(journal, contentOf(theirs)));
}

describe("Journal.content", () => {
  it("is the very base for a request that only read, even everything and deep inside", () => {
    const base = contentOf({ a: { b: [1, new Date(0), -0, undefined, new Map([[1, { $: 1 }]])] }, "10": 1, "9": 2 });
    const journal = journalOn(base);
    JSON.stringify(journal.data, (_, value: unknown) => (typeof value === "bigint" ? "" : value));
    journal.takeFlashes(undefined);
    expect(journal.content()).toBe(base);
    expect(journal.isChanged()).toBe(false);
  });

  it("is the very base after a change that was taken back", () => {
    const base = contentOf({ n: 1, list: [1] });
    const journal = journalOn(base);
    journal.data["n"] = 2;
    (journal.data["list"] as number[]).push(2);
    expect(journal.isChanged()).toBe(true);
    journal.data["n"] = 1;
    (journal.data["list"] as number[]).pop();
    expect(journal.content()).toBe(base);
  });

  it("notices a change deep inside of every kind of container", () => {
    const make = () => ({
      object: { inner: { n: 1 } },
      array: [[1]],
      map: new Map([["k", { n: 1 }]]),
      set: new Set([1]),
      date: new Date(0),
      bytes: Uint8Array.of(1, 2),
      url: new URL("https://a.example/"),
    });
    type Made = ReturnType<typeof make>;
    const changes: ((data: Made) => unknown)[] = [
      (data) => (data.object.inner.n = 2),
      (data) => data.array[0]!.push(2),
      (data) => (data.map.get("k")!.n = 2),
      (data) => data.map.set("l", { n: 1 }),
      (data) => data.set.add(2),
      (data) => data.set.delete(1),
      (data) => data.date.setTime(1),
      (data) => (data.bytes[1] = 9),
      (data) => (data.url.hash = "#x"),
    ];
    for (const change of changes) {
      const journal = journalOn(contentOf(make()));
      const expected = make();
      change(journal.data as Made);
      change(expected);
      expect(journal.isChanged(), `with ${String(change)}`).toBe(true);
      expect(dataOf(journal.content())).toEqual(expected);
    }
  });

  it("tells undefined from missing, and 0 from -0", () => {
    const journal = journalOn(contentOf({ a: 0 }));
    journal.data["a"] = -0;
    expect(journal.isChanged()).toBe(true);
    const other = journalOn(contentOf({ a: undefined }));
    delete other.data["a"];
    expect(other.isChanged()).toBe(true);
  });

  it("is a new one for flashes alone", () => {
    const journal = journalOn(EMPTY);
    journal.flash({ category: "info", message: "Saved." });
    expect(journal.isChanged()).toBe(true);
    expect(journal.content().flashes).toMatchObject([{ category: "info", message: "Saved." }]);
  });

  it("is the very base after a flash that was shown at once", () => {
    const journal = journalOn(EMPTY);
    journal.flash({ category: "info", message: "Try again." });
    expect(journal.takeFlashes(undefined)).toHaveLength(1);
    expect(journal.isChanged()).toBe(false);
  });
});

describe("Journal.replay", () => {
  const set = (key: string, value: unknown) => (journal: Journal) => void (journal.data[key] = value);

  it.each<[string, Dictionary, Dictionary, (journal: Journal) => void, Dictionary]>([
    ["keeps both of two keys", {}, { theirs: 1 }, set("mine", 2), { theirs: 1, mine: 2 }],
    ["has the later of two writes to a key stand", { k: 0 }, { k: 1 }, set("k", 2), { k: 2 }],
    ["leaves alone what only they changed", { k: 0, l: 0 }, { k: 1, l: 0 }, set("l", 5), { k: 1, l: 5 }],
    ["leaves out what they deleted", { k: 0, l: 0 }, { l: 0 }, set("l", 5), { l: 5 }],
    ["deletes what it deleted, though they wrote it", { k: 0 }, { k: 1 }, (j) => void delete j.data["k"], {}],
    ["writes again what they deleted", { k: 0 }, {}, set("k", 2), { k: 2 }],
    ["deletes what both deleted", { k: 0 }, {}, (j) => void delete j.data["k"], {}],
    ["does not bring back what it only read", { k: { n: 1 } }, {}, (j) => void (j.data["k"] as object), {}],
    ["has a write stand that gave what was there before", { k: 1 }, { k: 7 }, set("k", 1), { k: 1 }],
    ["keeps a written undefined apart from a deletion", { k: 1 }, { k: 7 }, set("k", undefined), { k: undefined }],
    [
      "keeps their __proto__",
      {},
      JSON.parse('{"__proto__":{"a":1}}') as Dictionary,
      set("k", 1),
      { k: 1, ["__proto__"]: { a: 1 } },
    ],
    ["writes its own __proto__", {}, {}, set("__proto__", { a: 1 }), { ["__proto__"]: { a: 1 } }],
    [
      "merges what was changed in place into what they changed in place",
      { c: { a: 1 } },
      { c: { a: 1, t: 1 } },
      (j) => void ((j.data["c"] as Dictionary)["m"] = 1),
      { c: { a: 1, t: 1, m: 1 } },
    ],
    ["applies an update to what they stored", { n: 1 }, { n: 10 }, (j) => void j.update("n", add(1)), { n: 11 }],
    ["applies an update to nothing where they deleted", { n: 1 }, {}, (j) => void j.update("n", add(1)), { n: 1 }],
    ["applies an update of a new key to theirs", {}, { n: 10 }, (j) => void j.update("n", add(1)), { n: 11 }],
    [
      "applies every one of several updates",
      { n: 1 },
      { n: 10 },
      (j) => [1, 2, 3].forEach((n) => j.update("n", add(n))),
      { n: 16 },
    ],
    ["applies an update that deletes", { n: 1 }, { n: 10 }, (j) => void j.update("n", () => undefined), {}],
    [
      "applies an update that deletes or not, as theirs is",
      { n: 1 },
      { n: 10 },
      (j) => void j.update("n", (n) => (n === 1 ? undefined : n)),
      { n: 10 },
    ],
    [
      "applies an update that changes in place",
      { l: [1] },
      { l: [1, 2] },
      (j) => void j.update("l", (l) => ((l as number[]).push(9), l)),
      { l: [1, 2, 9] },
    ],
    [
      "has what it set before an update stand",
      { n: 1 },
      { n: 10 },
      (j) => {
        j.data["n"] = 100;
        j.update("n", add(1));
      },
      { n: 101 },
    ],
    [
      "has what it set after an update stand",
      { n: 1 },
      { n: 10 },
      (j) => {
        j.update("n", add(1));
        j.data["n"] = 100;
      },
      { n: 100 },
    ],
    [
      "has what it set between two updates stand",
      { n: 1 },
      { n: 10 },
      (j) => {
        j.update("n", add(1));
        j.data["n"] = 100;
        j.update("n", add(1));
      },
      { n: 101 },
    ],
    [
      "has a deletion after an update stand",
      { n: 1 },
      { n: 10 },
      (j) => {
        j.update("n", add(1));
        delete j.data["n"];
      },
      {},
    ],
    [
      "has a deletion before an update stand",
      { n: 1 },
      { n: 10 },
      (j) => {
        delete j.data["n"];
        j.update("n", add(1));
      },
      { n: 1 },
    ],
  ])("%s", (_, base, theirs, mine, expected) => {
    const result = merged(base, theirs, mine);
    expect(result).toStrictEqual(expected);
    expect(Object.keys(result).toSorted()).toEqual(Object.keys(expected).toSorted());
  });

  it("gives the same each time, and changes nothing of its own", () => {
    const journal = journalOn(contentOf({ n: 1, list: [1] }));
    journal.update("n", add(1));
    (journal.data["list"] as number[]).push(2);
    const theirs = contentOf({ n: 10, other: true });
    const once = replayed(journal, theirs);
    expect(replayed(journal, theirs)).toEqual(once);
    expect(journal.data).toEqual({ n: 2, list: [1, 2] });
    expect(dataOf(journal.content())).toEqual({ n: 2, list: [1, 2] });
  });

  it("shares no object with what it began with or with what is stored", () => {
    const journal = journalOn(contentOf({}));
    const mine = { n: 1 };
    journal.data["mine"] = mine;
    const result = replayed(journal, contentOf({ theirs: {} }));
    mine.n = 2;
    expect(dataOf(result)).toEqual({ mine: { n: 1 }, theirs: {} });
  });

  it("refuses a merge that is larger than the limit, where neither part was", () => {
    const journal = journalOn(EMPTY);
    journal.data["mine"] = "x".repeat(6000);
    expect(() => replayed(journal, contentOf({ theirs: "y".repeat(6000) }))).toThrow(/limits\.bytes/);
  });

  it("passes on what an update throws on the newer value", () => {
    const journal = journalOn(contentOf({ stock: 1 }));
    journal.update("stock", (stock) => {
      if ((stock as number) < 1) throw new Error("sold out");
      return (stock as number) - 1;
    });
    expect(() => replayed(journal, contentOf({ stock: 0 }))).toThrow("sold out");
  });

  it("agrees with a model over 1,500 random schedules of requests on one record", () => {
    const random = seededRandom(21);
    const below = (n: number) => Math.floor(random() * n);
    const keys = ["a", "b", "__proto__"];
    let fresh = 1_000;

    /** What a request means to do to a key: put a value there, or not, and then add. */
    interface Meant {
      puts: boolean;
      value: number | undefined;
      adds: number;
      touched: boolean;
    }

    for (let round = 0; round < 1500; round++) {
      let record = contentOf({ a: 1 });
      let version = 0;
      const model = new Map<string, number>([["a", 1]]);
      const start = () => ({
        version,
        base: decode(record.data),
        journal: journalOn(record),
        meant: new Map<string, Meant>(),
      });
      const requests = Array.from({ length: 2 + below(3) }, start);

      const act = ({ journal, base, meant }: (typeof requests)[number]) => {
        const key = keys[below(keys.length)]!;
        const mine = meant.get(key) ?? { puts: false, value: undefined, adds: 0, touched: false };
        meant.set(key, mine);
        const kind = below(3);
        if (kind === 0) {
          journal.data[key] = fresh;
          Object.assign(mine, { puts: true, value: fresh++, adds: 0, touched: true });
        } else if (kind === 1) {
          const n = 1 + below(5);
          journal.update(key, add(n));
          Object.assign(mine, { adds: mine.adds + n, touched: true });
        } else if (Object.hasOwn(base, key) && Object.hasOwn(journal.data, key)) {
          delete journal.data[key];
          Object.assign(mine, { puts: true, value: undefined, adds: 0, touched: true });
        }
      };

      const commit = (request: (typeof requests)[number]) => {
        const { journal, meant } = request;
        const saved = journal.snapshot();
        const stored = request.version === version ? saved.content : replay(saved, record, limits);
        for (const [key, { puts, value, adds, touched }] of meant) {
          if (!touched) continue;
          const before = puts ? value : model.get(key);
          const after = adds > 0 ? (before ?? 0) + adds : before;
          if (after === undefined) model.delete(key);
          else model.set(key, after);
        }
        journal.stored(saved, stored);
        record = stored;
        request.version = version += 1;
        request.base = decode(record.data);
        meant.clear();
        // What the handler holds is what was stored.
        expect({ ...journal.data }).toEqual(dataOf(stored));
      };

      for (let step = 0; step < 12; step++) {
        const request = requests[below(requests.length)]!;
        if (below(3) === 0) commit(request);
        else act(request);
      }
      for (const request of requests) commit(request);
      expect(new Map(Object.entries(dataOf(record))), `round ${round}`).toEqual(model);
    }
  });
});

describe("Journal.update", () => {
  it("gives the new value and has it seen at once", () => {
    const journal = journalOn(EMPTY);
    expect(journal.update("n", add(1))).toBe(1);
    expect(journal.update("n", add(1))).toBe(2);
    expect(journal.data).toEqual({ n: 2 });
  });

  it("takes the key away where the function gives undefined", () => {
    const journal = journalOn(contentOf({ n: 1 }));
    expect(journal.update("n", () => undefined)).toBeUndefined();
    expect(Object.keys(journal.data)).toEqual([]);
  });

  it("refuses at once what can't be kept", () => {
    expect(() => journalOn(EMPTY).update("n", () => () => 1)).toThrow("session.data.n can't be kept");
  });

  it("never takes an inherited member for a value", () => {
    const seen: unknown[] = [];
    for (const key of ["toString", "constructor", "__proto__"]) {
      journalOn(EMPTY).update(key, (value) => (seen.push(value), 1));
    }
    expect(seen).toEqual([undefined, undefined, undefined]);
  });
});

describe("Journal and flashes", () => {
  const flash = (message: unknown, category = "info") => ({ category, message });

  it("shows each once, oldest first, of one category or of all", () => {
    const journal = journalOn(EMPTY);
    journal.flash(flash("one"));
    journal.flash(flash("two", "error"));
    journal.flash(flash("three"));
    expect(journal.takeFlashes("error")).toEqual([flash("two", "error")]);
    expect(journal.takeFlashes("error")).toEqual([]);
    expect(journal.takeFlashes(undefined)).toEqual([flash("one"), flash("three")]);
    expect(journal.content().flashes).toEqual([]);
  });

  it("keeps the message as it was when it was flashed", () => {
    const journal = journalOn(EMPTY);
    const message = { text: "before", at: new Date(5) };
    journal.flash(flash(message));
    message.text = "after";
    expect(journal.takeFlashes(undefined)).toEqual([flash({ text: "before", at: new Date(5) })]);
  });

  it("refuses a message that can't be kept, at the call", () => {
    const journal = journalOn(EMPTY);
    expect(() => journal.flash(flash({ a: [() => 1] }))).toThrow("the flash message.a[0] can't be kept");
    expect(() => journal.flash(flash("x".repeat(10_001)))).toThrow("limits.bytes (10000)");
    expect(journal.isChanged()).toBe(false);
  });

  it("forgets the oldest beyond a hundred", () => {
    const journal = journalOn(EMPTY);
    for (let i = 0; i < 130; i++) journal.flash(flash(i));
    expect(journal.takeFlashes(undefined).map(({ message }) => message)).toEqual(
      Array.from({ length: 100 }, (_, i) => i + 30),
    );
  });

  it("keeps at most a hundred of two requests together, and loses none of fewer", () => {
    const [first, second] = [journalOn(EMPTY), journalOn(EMPTY)];
    for (let i = 0; i < 60; i++) {
      first.flash(flash(`a${i}`));
      second.flash(flash(`b${i}`));
    }
    const stored = replayed(second, first.content()).flashes;
    expect(stored).toHaveLength(100);
    expect(stored.at(-1)).toMatchObject({ message: "b59" });
  });

  it("merges what two requests added and what one of them has shown", () => {
    const began = journalOn(EMPTY);
    began.flash(flash("old"));
    began.flash(flash("older", "error"));
    const base = began.content();

    const adds = journalOn(base);
    adds.flash(flash("new"));
    const shows = journalOn(base);
    expect(shows.takeFlashes("info")).toEqual([flash("old")]);
    shows.flash(flash("also new"));

    const messages = (content: Content) => content.flashes.map(({ message }) => String(message)).toSorted();
    expect(messages(replayed(shows, adds.content()))).toEqual(["also new", "new", "older"]);
    expect(messages(replayed(adds, shows.content()))).toEqual(["also new", "new", "older"]);
  });

  it("shows the same text twice where it was flashed twice", () => {
    const [first, second] = [journalOn(EMPTY), journalOn(EMPTY)];
    first.flash(flash("same"));
    second.flash(flash("same"));
    expect(journalOn(replayed(second, first.content())).takeFlashes(undefined)).toEqual([flash("same"), flash("same")]);
  });
});

describe("Journal.stored", () => {
  it("takes over what others stored, and keeps the objects that are the same", () => {
    const journal = journalOn(contentOf({ cart: { items: ["tea"] }, n: 1 }));
    const { cart } = journal.data as { cart: { items: string[] } };
    journal.data["n"] = 2;
    const saved = journal.snapshot();
    const stored = replay(saved, contentOf({ cart: { items: ["tea"] }, n: 1, theirs: true }), limits);
    journal.stored(saved, stored);
    expect(journal.data).toEqual({ cart: { items: ["tea"] }, n: 2, theirs: true });
    cart.items.push("milk");
    expect(dataOf(journal.content())).toEqual({ cart: { items: ["tea", "milk"] }, n: 2, theirs: true });
  });

  it("keeps what the handler changed while it was being stored", () => {
    const journal = journalOn(contentOf({ a: 1, b: 1, c: 1 }));
    journal.data["a"] = 2;
    const saved = journal.snapshot();
    const stored = replay(saved, contentOf({ a: 1, b: 5, c: 5 }), limits);
    journal.data["b"] = 9;
    journal.data["d"] = 9;
    journal.stored(saved, stored);
    expect(journal.data).toEqual({ a: 2, b: 9, c: 5, d: 9 });
    expect(dataOf(replayed(journal, contentOf({ a: 7, b: 7, c: 7 })))).toEqual({ a: 7, b: 9, c: 7, d: 9 });
  });

  it("is unchanged after a merge, whatever the order of the keys", () => {
    const journal = journalOn(EMPTY);
    journal.data["mine"] = 1;
    const saved = journal.snapshot();
    journal.stored(saved, replay(saved, contentOf({ theirs: 1 }), limits));
    expect(journal.data).toEqual({ mine: 1, theirs: 1 });
    expect(journal.isChanged()).toBe(false);
  });

  it("does not apply an update twice that is stored already", () => {
    const journal = journalOn(contentOf({ n: 1 }));
    journal.update("n", add(1));
    const saved = journal.snapshot();
    journal.stored(saved, saved.content);
    expect(journal.isChanged()).toBe(false);
    expect(dataOf(replayed(journal, contentOf({ n: 10 })))).toEqual({ n: 10 });
    journal.update("n", add(1));
    expect(dataOf(replayed(journal, contentOf({ n: 10 })))).toEqual({ n: 11 });
  });

  it("does not show again what was shown and stored", () => {
    const journal = journalOn(EMPTY);
    journal.flash({ category: "info", message: 1 });
    const saved = journal.snapshot();
    journal.stored(saved, saved.content);
    expect(journal.isChanged()).toBe(false);
    expect(journal.takeFlashes(undefined)).toHaveLength(1);
    expect(journal.isChanged()).toBe(true);
    const shown = journal.snapshot();
    journal.stored(shown, shown.content);
    expect(journal.takeFlashes(undefined)).toEqual([]);
    expect(journal.isChanged()).toBe(false);
  });

  it("applies again an update that was made while an earlier one was being stored", () => {
    const journal = journalOn(contentOf({ n: 0 }));
    journal.update("n", add(1));
    const saved = journal.snapshot();
    journal.update("n", add(1));
    journal.stored(saved, saved.content);
    expect(dataOf(replayed(journal, contentOf({ n: 11 })))).toEqual({ n: 12 });
  });

  it("keeps what others stored where an update was made meanwhile", () => {
    const journal = journalOn(contentOf({ n: 0 }));
    journal.update("n", add(1));
    const saved = journal.snapshot();
    journal.update("n", add(1));
    const stored = replay(saved, contentOf({ n: 10 }), limits);
    journal.stored(saved, stored);
    // Whether the second update was stored now or will be: theirs and both of ours count.
    expect(journal.data["n"]).toBe(12);
  });

  it("shows a flash once that was added while a conflict was being settled", () => {
    const journal = journalOn(EMPTY);
    journal.data["mine"] = 1;
    const saved = journal.snapshot();
    journal.flash({ category: "info", message: "late" });
    const stored = replay(saved, contentOf({ theirs: 1 }), limits);
    journal.stored(saved, stored);
    expect(journal.takeFlashes(undefined)).toHaveLength(1);
  });
});

describe("Journal.restrict", () => {
  it("drops what was there before this request, and keeps what it set", () => {
    const journal = journalOn(contentOf({ theirs: 1, cart: ["tea"], n: 5 }));
    journal.data["mine"] = 2;
    journal.update("n", add(1));
    journal.restrict(BOB);
    expect(journal.data).toEqual({ mine: 2, n: 1 });
    expect(dataOf(journal.content())).toEqual({ mine: 2, n: 1 });
  });

  it("drops the flashes of before, and keeps its own", () => {
    const before = journalOn(EMPTY);
    before.flash({ category: "info", message: "theirs" });
    const journal = journalOn(before.content());
    journal.flash({ category: "info", message: "mine" });
    journal.restrict(BOB);
    expect(journal.takeFlashes(undefined)).toEqual([{ category: "info", message: "mine" }]);
  });

  it("leaves nothing to be stored of a journal that nothing was written to", () => {
    const journal = journalOn(contentOf({ theirs: 1 }));
    journal.restrict(BOB);
    expect(journal.data).toEqual({});
    expect(replayed(journal, EMPTY)).toEqual(EMPTY);
  });

  it("keeps the keys that it is told, and hides what others store of the rest meanwhile", () => {
    const journal = journalOn(contentOf({ theirs: 1, cart: ["tea"] }));
    journal.data["mine"] = 2;
    const snapshot = journal.snapshot();
    journal.restrict({ ...BOB, keep: ["cart"] });
    journal.stored(snapshot, contentOf({ theirs: 1, cart: ["tea", "milk"], mine: 2, secret: 3 }));
    expect(journal.data).toEqual({ mine: 2, cart: ["tea", "milk"] });
  });

  it("leaves nothing of before inside of an object that this request changed in passing", () => {
    const journal = journalOn(contentOf({ profile: { address: "1 Other Street", seen: 1 } }));
    (journal.data["profile"] as { seen: number }).seen = 2;
    journal.restrict(BOB);
    expect(JSON.stringify(journal.data)).not.toContain("Other Street");
  });
});
