interface Patch {
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

export interface Mutation extends Patch {
  readonly name: string;
  readonly also?: Patch;
}

export const MUTATIONS: readonly Mutation[];

export function patchesOf(mutation: Mutation): readonly Patch[];

export function staleMutations(root: string, mutations?: readonly Mutation[]): readonly string[];
