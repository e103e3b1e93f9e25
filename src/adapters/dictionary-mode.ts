/** V8 gives each object whose prototype was replaced hidden classes of its own: every access to it becomes slow. */
const isSlow = Number.parseInt(process.versions.v8 ?? "13", 10) < 13;

/**
 * Makes V8 keep the properties of an object in a dictionary, which is faster where its prototype was replaced. To remove a
 * property other than the latest does that. It is a symbol that Node set, so that the order of names stays the same.
 */
export function useDictionaryMode(object: object): void {
  if (!isSlow || !Object.isExtensible(object)) return;
  const [symbol] = Object.getOwnPropertySymbols(object);
  if (symbol === undefined) return;
  const property = Object.getOwnPropertyDescriptor(object, symbol)!;
  if (Reflect.deleteProperty(object, symbol)) Object.defineProperty(object, symbol, property);
}
