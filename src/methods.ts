/** Returns whether an object or a function has all of these methods. Stores recognise clients by their methods. */
export function hasMethods(value: unknown, ...names: string[]): boolean {
  if ((typeof value !== "object" && typeof value !== "function") || value === null) return false;
  return names.every((name) => typeof (value as Record<string, unknown>)[name] === "function");
}

/** Whether a value is a client of Redis. It has `get`, `set` and `destroy`, as a store of express-session has. */
export function isRedisClient(value: unknown): boolean {
  return hasMethods(value, "sendCommand", "subscribe");
}
