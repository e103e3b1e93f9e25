/** Returns whether an object or a function has all of these methods. Stores recognise clients by their methods. */
export function hasMethods(value: unknown, ...names: string[]): boolean {
  if ((typeof value !== "object" && typeof value !== "function") || value === null) return false;
  return names.every((name) => typeof (value as Record<string, unknown>)[name] === "function");
}
