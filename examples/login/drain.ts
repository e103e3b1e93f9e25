import type { Server, ServerResponse } from "node:http";
import type { Socket } from "node:net";

/** Maximum time in milliseconds for requests in flight. */
const PATIENCE = 10_000;
/**
 * Ctrl-C under npm sends two signals at once: one from the terminal, one from npm. A signal within this time is
 * ignored.
 */
const SAME_SIGNAL = 500;
const SIGNALS = { SIGINT: 2, SIGTERM: 15 } as const;

/**
 * Ends the process gracefully on SIGINT and SIGTERM. It accepts no new connection, closes idle ones at once, answers
 * requests in flight for at most ten seconds, and awaits `close`. A second signal ends the process at once.
 */
export function drainOnSignals(server: Server, close: () => Promise<void>): void {
  const sockets = new Set<Socket>();
  const inFlight = new Set<ServerResponse>();
  let began: number | undefined;

  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  // This listener comes before the application's, which sends the headers.
  server.prependListener("request", (_request, response) => {
    inFlight.add(response);
    if (began !== undefined) response.setHeader("Connection", "close");
    response.once("close", () => {
      inFlight.delete(response);
      if (began !== undefined) setImmediate(() => server.closeIdleConnections());
    });
  });

  async function drain(): Promise<void> {
    const closed = new Promise((resolve) => server.close(resolve));
    for (const response of inFlight) if (!response.headersSent) response.setHeader("Connection", "close");
    // Browsers open connections in advance, which Node does not count as idle. A request may be arriving: wait for one
    // turn.
    setImmediate(() => {
      for (const socket of sockets) if (socket.bytesRead === 0) socket.destroy();
    });
    const bound = setTimeout(() => server.closeAllConnections(), PATIENCE);
    await closed;
    clearTimeout(bound);
    await close();
  }

  for (const [signal, number] of Object.entries(SIGNALS)) {
    process.on(signal, () => {
      const now = performance.now();
      if (began !== undefined) {
        if (now - began > SAME_SIGNAL) process.exit(128 + number);
        return;
      }
      began = now;
      drain().then(
        () => process.exit(0),
        (error: unknown) => {
          console.error(error);
          process.exit(1);
        },
      );
    });
  }
}
