import type { Server, ServerResponse } from "node:http";
import type { Socket } from "node:net";

/** How long requests in flight may take to finish, in milliseconds. */
const PATIENCE = 10_000;
/** Ctrl-C under npm comes twice at once: from the terminal, and passed on by npm. Only a later one is a second one. */
const SAME_SIGNAL = 500;
const SIGNALS = { SIGINT: 2, SIGTERM: 15 } as const;

/**
 * Ends the process in good order on SIGINT and SIGTERM: no new connections, requests in flight are answered (for ten
 * seconds at most), idle connections are closed at once, `close` is awaited. A second signal ends it at once.
 */
export function drainOnSignals(server: Server, close: () => Promise<void>): void {
  const sockets = new Set<Socket>();
  const inFlight = new Set<ServerResponse>();
  let began: number | undefined;

  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  // Before the application's listener: that one writes the head.
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
    // Browsers open connections in advance. Node does not count those as idle; one turn for what is just arriving.
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
