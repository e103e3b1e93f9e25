import { readFileSync } from "node:fs";
import { join } from "node:path";
import { CHANGES } from "./changes.mjs";
import { LIFECYCLE } from "./lifecycle.mjs";
import { MENDED } from "./mended.mjs";
import { REQUESTS } from "./requests.mjs";
import { STORES } from "./stores.mjs";
import { TIMEOUTS_AND_TOKENS } from "./timeouts-and-tokens.mjs";

/** Every mistake that the simulation has to find. Each has a name of its own. */
export const MUTATIONS = [...STORES, ...LIFECYCLE, ...TIMEOUTS_AND_TOKENS, ...REQUESTS, ...CHANGES, ...MENDED];

/** The places that a mutation changes. */
export function patchesOf(mutation) {
  return [mutation, mutation.also].filter((patch) => patch !== undefined);
}

/** The mutations that can't be carried out any more, because the sources have changed. */
export function staleMutations(root, mutations = MUTATIONS) {
  return mutations.flatMap((mutation) =>
    patchesOf(mutation)
      .filter(({ file, from }) => readFileSync(join(root, file), "utf8").split(from).length !== 2)
      .map(({ file, from }) => `${mutation.name}: ${file} does not have this text once:\n${from}`),
  );
}
