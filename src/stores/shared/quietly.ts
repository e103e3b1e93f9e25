/**
 * Runs a step and ignores its error. Use it for cleanup after an operation that has already taken effect. If the step fails,
 * it leaves a file or row that is deleted later.
 */
export function quietly<T>(step: () => T): T | undefined {
  try {
    return step();
  } catch {
    return undefined;
  }
}
