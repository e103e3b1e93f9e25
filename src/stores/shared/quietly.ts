/**
 * A step whose failure changes nothing: it follows one that has already taken effect, or lets go of what is lost anyway.
 * At worst it leaves a leftover, which is collected later.
 */
export function quietly<T>(step: () => T): T | undefined {
  try {
    return step();
  } catch {
    return undefined;
  }
}
