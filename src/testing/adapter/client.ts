import type { Agent as HttpAgent } from "node:http";

/** The types of node:http are not loaded for those who take `cookieFor()` from this entry. */
type Agent = object;

/** A socket of node:net. */
interface Wire {
  setEncoding(encoding: "latin1"): unknown;
  on(event: "data", listener: (part: string) => void): unknown;
  on(event: "error" | "close", listener: () => void): unknown;
  destroy(): unknown;
}

/** A response as it came over the wire. */
export interface Answer {
  /** `0`: the connection ended without a response. */
  readonly status: number;
  /** All headers but Set-Cookie. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  /** The session's cookies alone. */
  readonly cookies: readonly string[];
  /** The cookies of the application. */
  readonly otherCookies: readonly string[];
  readonly body: string;
  /** `false`: the connection was cut off in the middle of the response. */
  readonly isComplete: boolean;
}

/** A request: its method, and the chunks of its body, which is sent without a Content-Length. */
export interface Asked {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly chunks?: readonly string[];
  readonly signal?: AbortSignal;
}

/** The names of the cookies of a case's sessions. */
export const COOKIE_NAMES = ["session", "other"] as const;

const isOfSession = (line: string): boolean => COOKIE_NAMES.some((name) => line.startsWith(`${name}=`));

/** A browser: it has a cookie jar, and follows no redirect. */
export class TestClient {
  readonly #origin: string;
  readonly #agent: Agent | undefined;
  readonly #jar = new Map<string, string>();

  /** @param agent - the connections to use. Default: one for each request. */
  constructor(origin: string, agent?: Agent) {
    this.#origin = origin;
    this.#agent = agent;
  }

  get cookie(): string {
    return Array.from(this.#jar, ([name, value]) => `${name}=${value}`).join("; ");
  }

  /** Another tab, or a thief: a client that has the same cookies now. */
  twin(): TestClient {
    const twin = new TestClient(this.#origin, this.#agent);
    for (const [name, value] of this.#jar) twin.#jar.set(name, value);
    return twin;
  }

  async get(path: string, asked: Asked = {}): Promise<Answer> {
    const { cookie } = this;
    const type = asked.chunks && { "content-type": "text/plain" };
    const headers = { ...(cookie && { cookie }), ...type, ...asked.headers };
    const answer = await ask(this.#origin + path, { ...asked, headers }, this.#agent);
    for (const line of [...answer.cookies, ...answer.otherCookies]) {
      const [, name = "", value = "", rest = ""] = /^([^=]+)=([^;]*)(.*)$/.exec(line) ?? [];
      if (/; Max-Age=0(;|$)/i.test(rest)) this.#jar.delete(name);
      else this.#jar.set(name, value);
    }
    return answer;
  }

  post(path: string, chunks?: readonly string[]): Promise<Answer> {
    return this.get(path, chunks ? { method: "POST", chunks } : { method: "POST" });
  }

  /** Opens a connection, and sends a request for the path. The caller reads what comes, byte by byte. */
  connect(path: string): Promise<Connection> {
    return connectTo(this.#origin, this.request(path));
  }

  /** The text of a request. */
  request(path: string, connection = "close"): string {
    const { host } = new URL(this.#origin);
    const cookie = this.cookie === "" ? "" : `Cookie: ${this.cookie}\r\n`;
    return `GET ${path} HTTP/1.1\r\nHost: ${host}\r\n${cookie}Connection: ${connection}\r\n\r\n`;
  }
}

async function ask(url: string, { method = "GET", headers = {}, chunks, signal }: Asked, agent?: Agent) {
  // Only here: a program that takes cookieFor() from this entry may run where there is no node:http.
  const { request } = await import("node:http");
  return new Promise<Answer>((resolve) => {
    const using = (agent ?? false) as HttpAgent | false;
    const asking = request(url, { method, headers, agent: using, ...(signal && { signal }) }, (response) => {
      const parts: Buffer[] = [];
      response.on("data", (part: Buffer) => parts.push(part));
      response.on("error", () => undefined);
      response.on("close", () => {
        const { "set-cookie": cookies = [], ...others } = response.headers;
        resolve({
          status: response.statusCode ?? 0,
          headers: others as Record<string, string>,
          cookies: cookies.filter(isOfSession),
          otherCookies: cookies.filter((line) => !isOfSession(line)),
          body: new TextDecoder().decode(joined(parts)),
          isComplete: response.complete,
        });
      });
    });
    // A case may have failed, and not wait for it any more.
    asking.on("error", () =>
      resolve({ status: 0, headers: {}, cookies: [], otherCookies: [], body: "", isComplete: false }),
    );
    for (const chunk of chunks ?? []) asking.write(chunk);
    asking.end();
  });
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((length, part) => length + part.byteLength, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.byteLength;
  }
  return all;
}

/** A connection whose bytes a case reads as they come. */
export class Connection {
  readonly #socket: Wire;
  #received = "";
  #isClosed = false;
  #waiting: (() => void)[] = [];

  constructor(socket: Wire) {
    this.#socket = socket;
    socket.setEncoding("latin1");
    socket.on("data", (part: string) => {
      this.#received += part;
      this.#wake();
    });
    socket.on("error", () => undefined);
    socket.on("close", () => {
      this.#isClosed = true;
      this.#wake();
    });
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }

  get received(): string {
    return this.#received;
  }

  /** Waits for a text, or for the end of the connection. Returns everything that has come until then. */
  async until(text?: string): Promise<string> {
    const isThere = () => this.#isClosed || (text !== undefined && this.#received.includes(text));
    while (!isThere()) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    return this.#received;
  }

  /** Whether the server has closed the connection. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Closes the connection without a word, as a client does that goes away. */
  destroy(): void {
    this.#socket.destroy();
  }
}

/** Opens a connection to a server, and sends these bytes. */
export async function connectTo(origin: string, bytes: string): Promise<Connection> {
  const { connect } = await import("node:net");
  const { hostname, port } = new URL(origin);
  const socket = connect(Number(port), hostname);
  const connection = new Connection(socket);
  socket.write(bytes, "latin1");
  return connection;
}
