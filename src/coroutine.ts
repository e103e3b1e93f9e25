/** An answer, or the promise of one. */
export type Answer<T> = T | Promise<T>;

/**
 * An asynchronous function that waits only where there is something to wait for. It is written as a generator, with
 * `yield* wait(answer)` in place of `await answer`.
 */
export type Coroutine<T> = Generator<Promise<unknown>, T>;

export function* wait<T>(answer: Answer<T>): Coroutine<T> {
  return isPromise(answer) ? ((yield answer) as T) : answer;
}

/**
 * Some libraries have a class of promises of their own. Some programs put one in the place of the global class, and then an async
 * function gives no instance of `Promise`.
 */
export function isPromise<T>(answer: Answer<T>): answer is Promise<T> {
  return typeof (answer as { then?: unknown } | null | undefined)?.then === "function";
}

/**
 * Goes on with an answer: at once, or when it is there. For the steps that each request takes, where a coroutine would cost more than
 * the step itself.
 */
export function andThen<T, Result>(answer: Answer<T>, next: (value: T) => Answer<Result>): Answer<Result> {
  return isPromise(answer) ? answer.then(next) : next(answer);
}

/** Runs a coroutine: until its end, or until the first promise. `undefined` of one without a result means that it is done. */
export function run<T>(coroutine: Coroutine<T>): Answer<T> {
  const { done, value } = coroutine.next();
  return done ? value : follow(coroutine, value);
}

async function follow<T>(coroutine: Coroutine<T>, first: Promise<unknown>): Promise<T> {
  let promise = first;
  for (;;) {
    let result: unknown;
    let failure: { readonly error: unknown } | undefined;
    try {
      // oxlint-disable-next-line no-await-in-loop -- one step needs the answer of the one before.
      result = await promise;
    } catch (error) {
      failure = { error };
    }
    const { done, value } = failure ? coroutine.throw(failure.error) : coroutine.next(result);
    if (done) return value;
    promise = value;
  }
}

/** The answer of a function, as a rejected promise where it throws. */
export function rejecting<T>(answer: () => Answer<T>): Answer<T> {
  try {
    return answer();
  } catch (error) {
    return Promise.reject(error);
  }
}
