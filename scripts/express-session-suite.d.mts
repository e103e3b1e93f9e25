/** The tests of express-session that differ deliberately, each with its reason. */
export declare const DIFFERENCES: Readonly<Record<string, string>>;

/** Runs express-session's tests. Without a checkout, one is fetched. */
export declare function runSuite(checkout: string | undefined): {
  readonly passed: readonly string[];
  readonly failed: readonly string[];
};
