import { kindOf, type Dictionary } from "./codec.ts";
import { isObject, isSameKind, isWritable, setMember, textOf } from "./containers.ts";

/** By objects of a decoded value: the handler's objects that stand for them. */
export type Placed = Map<object, object>;

/**
 * Puts a decoded value into the objects that a handler holds, so that it goes on holding live ones.
 *
 * @param placed - is told which object of the handler's stands for which one of `target`.
 * @returns what is to stand in the place: `live`, where that could be changed, otherwise `target`.
 */
export function putInto(live: unknown, target: unknown, placed: Placed): unknown {
  if (!isObject(live) || !isObject(target)) return target;
  if (!isSameKind(live, target) || !isWritable(live)) return target;
  if (kindOf(target) === "leaf" && !putIntoLeaf(live, target)) return target;
  placed.set(target, live);
  if (Array.isArray(target)) putIntoArray(live as unknown as unknown[], target, placed);
  else if (target instanceof Map) putIntoMap(live as Map<unknown, unknown>, target, placed);
  else if (target instanceof Set) putIntoSet(live as unknown as Set<unknown>, target, placed);
  else if (kindOf(target) === "object") putIntoObject(live as Dictionary, target as Dictionary, placed);
  return live;
}

function putIntoLeaf(live: object, target: object): boolean {
  if (target instanceof Date) (live as Date).setTime(target.getTime());
  else if (target instanceof URL) (live as URL).href = target.href;
  else if ((live as Uint8Array).length === (target as Uint8Array).length)
    (live as Uint8Array).set(target as Uint8Array);
  else return false;
  return true;
}

function putIntoObject(live: Dictionary, target: Dictionary, placed: Placed): void {
  const names = Object.keys(target);
  const values = names.map((name) =>
    Object.hasOwn(live, name) ? putInto(live[name], target[name], placed) : target[name],
  );
  for (const name of Object.keys(live)) if (!Object.hasOwn(target, name)) delete live[name];
  // The order of the names is a part of the text.
  if (Object.keys(live).some((name, i) => name !== names[i])) for (const name of Object.keys(live)) delete live[name];
  for (const [i, name] of names.entries())
    if (!Object.hasOwn(live, name) || live[name] !== values[i]) setMember(live, name, values[i]);
}

function putIntoMap(live: Map<unknown, unknown>, target: Map<unknown, unknown>, placed: Placed): void {
  const old = new Map(Array.from(live, ([key, value]) => [textOf(key), { key, value }]));
  live.clear();
  for (const [key, value] of target) {
    const was = old.get(textOf(key));
    if (was) live.set(putInto(was.key, key, placed), putInto(was.value, value, placed));
    else live.set(key, value);
  }
}

function putIntoSet(live: Set<unknown>, target: Set<unknown>, placed: Placed): void {
  const old = new Map(Array.from(live, (member) => [textOf(member), member]));
  live.clear();
  for (const member of target) live.add(putInto(old.get(textOf(member)), member, placed));
}

/** An object stays with the item that it was; where nothing was removed, one that differs has changed in its place. */
function putIntoArray(live: unknown[], target: readonly unknown[], placed: Placed): void {
  const texts = target.map(textOf);
  const before = live.map(textOf);
  const moved = new Map<string, number[]>();
  for (let i = before.length - 1; i >= 0; i -= 1) {
    const text = before[i]!;
    if (text === texts[i]) continue;
    const known = moved.get(text);
    if (known) known.push(i);
    else moved.set(text, [i]);
  }
  const sources = texts.map((text, i) => (text === before[i] ? i : moved.get(text)?.pop()));
  const taken = new Set(sources);
  const items = target.map((item, i) => {
    const at = sources[i];
    const isInPlace = target.length >= live.length && i < live.length && !taken.has(i);
    const source = at ?? (isInPlace ? i : undefined);
    return source === undefined ? item : putInto(live[source], item, placed);
  });
  live.length = items.length;
  for (const [i, item] of items.entries()) live[i] = item;
}
