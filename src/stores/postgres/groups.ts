import { setImmediate } from "node:timers";

interface Call {
  /** The row that the call is about. */
  readonly key: string;
}

export interface GroupOptions<C extends Call, Result> {
  /** Runs one call by a statement of its own. */
  alone(call: C): Promise<Result>;
  /** Runs calls of different rows by one statement. The results of those that it decided, by their keys; the others run alone. */
  together(calls: readonly C[]): Promise<ReadonlyMap<string, Result>>;
  /** Whether a group that fails with this error has had no effect, and each of its calls may succeed alone. */
  mayRepeat(error: unknown): boolean;
}

interface Waiting<C, Result> {
  readonly call: C;
  resolve(result: Result | PromiseLike<Result>): void;
  reject(error: unknown): void;
}

// A group is one reply, which is parsed in one piece. More calls at once gain nothing.
const MAX_GROUP_SIZE = 32;

/**
 * Returns a function that runs the calls of one turn of the event loop together. Sending a statement and receiving its reply
 * take several times as long as the statement itself, at the client and at the server.
 */
export function groupOfTurn<C extends Call, Result>(options: GroupOptions<C, Result>): (call: C) => Promise<Result> {
  let waiting = new Map<string, Waiting<C, Result>>();

  function send(): void {
    const group = [...waiting.values()];
    waiting = new Map();
    for (let from = 0; from < group.length; from += MAX_GROUP_SIZE) {
      void run(group.slice(from, from + MAX_GROUP_SIZE));
    }
  }

  async function run(group: readonly Waiting<C, Result>[]): Promise<void> {
    let results: ReadonlyMap<string, Result> = new Map();
    try {
      if (group.length > 1) results = await options.together(group.map(({ call }) => call));
    } catch (error) {
      if (!options.mayRepeat(error)) {
        for (const { reject } of group) reject(error);
        return;
      }
    }
    for (const { call, resolve } of group) {
      const result = results.get(call.key);
      resolve(result === undefined ? options.alone(call) : result);
    }
  }

  return (call) => {
    // A statement must not have a row twice.
    if (waiting.has(call.key)) return options.alone(call);
    return new Promise((resolve, reject) => {
      if (waiting.size === 0) setImmediate(send);
      waiting.set(call.key, { call, resolve, reject });
    });
  };
}
