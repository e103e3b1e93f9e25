/** The cases: what each shows, and the function that checks it. */
export const cases: readonly (readonly [name: string, check: (site: unknown) => Promise<void>])[];
