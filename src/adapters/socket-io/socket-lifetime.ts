import type { Socket } from "socket.io";
import type { CloseSource } from "../../request/request.ts";

export type AnySocket = Socket;

/**
 * Sockets of one connection that may wait to join a namespace, or were refused by other middleware, which nobody tells. A
 * client that asks again and again must not fill the memory.
 */
const MAX_JOINING = 100;

type Connection = AnySocket["conn"];

/** The sockets of each connection that have not joined their namespace: one listener serves all. */
const joining = new WeakMap<Connection, Set<SocketLifetime>>();

const lifetimes = new WeakMap<AnySocket, SocketLifetime>();

function joiningOn(connection: Connection): Set<SocketLifetime> {
  const found = joining.get(connection);
  if (found) return found;
  const waiting = new Set<SocketLifetime>();
  joining.set(connection, waiting);
  connection.once("close", () => {
    for (const lifetime of waiting) lifetime.end();
  });
  return waiting;
}

/**
 * Tells a session when its socket is done: when it has left its namespace, or when the connection closes before it has joined
 * one. The TCP socket of the handshake tells neither, since a connection goes on over other requests, or over a WebSocket.
 */
export class SocketLifetime implements CloseSource {
  readonly #connection: Connection;
  #listeners: (() => void)[] = [];
  #isOver = false;

  constructor(socket: AnySocket) {
    this.#connection = socket.conn;
    lifetimes.set(socket, this);
    socket.once("disconnect", () => this.end());
    const others = joiningOn(this.#connection);
    others.add(this);
    if (others.size > MAX_JOINING) this.#connection.close();
  }

  static of(socket: AnySocket): SocketLifetime | undefined {
    return lifetimes.get(socket);
  }

  once(_event: "close", listener: () => void): void {
    this.#listeners.push(listener);
  }

  get destroyed(): boolean {
    return this.#isOver || this.#connection.readyState !== "open";
  }

  /** The socket has joined its namespace: its own event tells of its end. */
  join(): void {
    joining.get(this.#connection)?.delete(this);
  }

  end(): void {
    this.join();
    this.#isOver = true;
    for (const listener of this.#listeners.splice(0)) listener();
  }
}
