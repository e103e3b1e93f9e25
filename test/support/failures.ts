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
