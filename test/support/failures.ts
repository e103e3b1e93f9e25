import { setImmediate as nextTurn } from "node:timers/promises";
import { expect } from "vitest";

/** What `act` throws, as a value to compare. */
export function failureOf(act: () => unknown): unknown {
  try {
    act();
  } catch (error) {
    return error;
  }
  return "nothing was thrown";
}

/** An error of the store's, as Sojourn passes it on. */
export const storeError = (cause?: unknown) =>
  expect.objectContaining({
    name: "SessionError",
    code: "ERR_SESSION_STORE",
    status: 503,
    ...(cause ? { cause } : {}),
  });

/** The rejections that nobody has handled while `act` ran. */
export async function unhandledDuring(act: () => Promise<void>): Promise<unknown[]> {
  const seen: unknown[] = [];
  const listener = (reason: unknown) => seen.push(reason);
  const others = process.listeners("unhandledRejection");
  process.removeAllListeners("unhandledRejection").on("unhandledRejection", listener);
  try {
    await act();
    await nextTurn();
    await nextTurn();
  } finally {
    process.off("unhandledRejection", listener);
    for (const other of others) process.on("unhandledRejection", other);
  }
  return seen;
}
