import { setImmediate } from "node:timers";

/** The calls that are used of a client's socket. */
export interface PacketStream {
  cork(): unknown;
  uncork(): unknown;
}

/**
 * Returns a function that holds back what is written to sockets until the end of this turn of the event loop. ioredis and
 * iovalkey write each command by itself; the system calls for that take longer than the commands, at both ends. Held back,
 * the commands of a turn are one packet. Each is a command of its own still: it fails, is redirected and is sent again
 * alone, which the commands of a pipeline are not.
 */
export function packetHolder(sockets: () => readonly (PacketStream | undefined)[]): () => void {
  let held: readonly (PacketStream | undefined)[] | undefined;
  function release(): void {
    for (const socket of held!) socket?.uncork();
    held = undefined;
  }
  return () => {
    if (held) return;
    held = sockets();
    for (const socket of held) socket?.cork();
    setImmediate(release);
  };
}
