/**
 * Mistakes of merging.
 *
 * In `file`, the text `from` becomes `to`.
 */
export const CHANGES = [
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
    name: "an object whose other members are lost",
    file: "src/changes/merge.ts",
    from: "  for (const name of Object.keys(mine)) {\n    const value",
    to: "  for (const name of Object.keys(theirs)) if (!Object.hasOwn(mine, name)) delete theirs[name];\n  for (const name of Object.keys(mine)) {\n    const value",
  },
  {
    name: "a Map's keys of others that are lost",
    file: "src/changes/merge.ts",
    from: "if (!now.has(text) && there.has(text)) theirs.delete(there.get(text));",
    to: "if (!now.has(text) && there.has(text)) theirs.delete(there.get(text));\n  for (const [text, key] of there) if (!now.has(text)) theirs.delete(key);",
  },
  {
    name: "an update that is applied twice after a conflict",
    file: "src/lifecycle/commit.ts",
    from: "return this.#changes ? this.replayOn(newest!.record) : newest!.record;",
    to: "return this.#changes ? this.replayOn(this.replayOn(newest!.record)) : newest!.record;",
  },
  {
    name: "an update that is applied to the stale value",
    file: "src/changes/steps.ts",
    from: "const value = apply(Object.hasOwn(data, key) ? data[key] : undefined);",
    to: "const value = apply(undefined);",
  },
  {
    name: "a removed key that a conflict brings back",
    file: "src/changes/replay.ts",
    from: "    else delete merged[key];\n",
    to: "",
  },
  {
    name: "a retry that applies the changes to what this request has read",
    file: "src/lifecycle/commit.ts",
    from: "return this.#changes ? this.replayOn(newest!.record) : newest!.record;",
    to: "return this.#changes ? this.replayOn(began.record) : newest!.record;",
  },
  {
    name: "appended items that are dropped after a conflict",
    file: "src/changes/merge.ts",
    from: "if (isInPlace && changes.length === 0) append(theirs, appended);",
    to: "if (isInPlace && changes.length === 0) return;",
  },
];
