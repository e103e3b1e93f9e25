import type { Files } from "./files.ts";
import { contentName, type Pointer } from "./names.ts";
import type { Quarantined } from "./store.ts";

interface QuarantineOptions {
  readonly id: string | undefined;
  readonly reason: string;
  readonly cleanUpAfter: (pointer: Pointer) => void;
  readonly onQuarantine: (quarantined: Quarantined) => void;
}

/** Ends a session whose file is damaged or missing: moves its files aside and reports it. */
export function quarantine(files: Files, pointer: Pointer, options: QuarantineOptions): void {
  const { id, reason, cleanUpAfter, onQuarantine } = options;
  // Only one process can move the pointer. That process has ended the session and reports it.
  const moved = files.quarantine("pointers", pointer.name);
  if (moved === undefined) return;
  const path = files.quarantine("contents", contentName(pointer.key, pointer.nonce)) ?? moved;
  cleanUpAfter(pointer);
  try {
    onQuarantine({ id, path, reason });
  } catch (error) {
    process.emitWarning(error instanceof Error ? error : String(error));
  }
}

/** The default of `onQuarantine`. */
export function warnOfQuarantine({ path, reason }: Quarantined): void {
  process.emitWarning(`A session's file was put aside at ${path}: ${reason}. The session counts as missing.`, {
    code: "SOJOURN_QUARANTINED",
  });
}
