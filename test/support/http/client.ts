import { Agent, request, type IncomingHttpHeaders } from "node:http";
import { connect } from "node:net";

/** What came back, to the byte. */
export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly setCookies: readonly string[];
  readonly body: string;
  /** `false` where the connection was cut in the middle of the response. */
  readonly complete: boolean;
}

export interface Asking {
  readonly method?: string;
  readonly cookie?: string | undefined;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

const agent = new Agent({ keepAlive: true, maxSockets: 64 });

/** One request; no redirect is followed, and no header is added that a browser would not send. */
export function ask(url: string, { method = "GET", cookie, headers = {}, signal }: Asking = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = { ...headers, ...(cookie === undefined ? {} : { cookie }) };
    const asking = request(url, { method, agent, headers: sent, ...(signal && { signal }) }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", () => undefined);
      response.on("close", () =>
        resolve({
          status: response.statusCode!,
          headers: response.headers,
          setCookies: response.headers["set-cookie"] ?? [],
          body: Buffer.concat(chunks).toString(),
          complete: response.complete,
        }),
      );
    });
    asking.on("error", reject).end();
  });
}

/** A browser's memory for cookies, and no more. */
export class Client {
  readonly #origin: string;
  readonly #jar = new Map<string, string>();

  constructor(origin: string) {
    this.#origin = origin;
  }

  get cookie(): string | undefined {
    return this.#jar.size === 0 ? undefined : [...this.#jar].map(([name, value]) => `${name}=${value}`).join("; ");
  }

  /** One that has the same cookies now, as a second tab or a thief has. */
  twin(): Client {
    const twin = new Client(this.#origin);
    for (const [name, value] of this.#jar) twin.#jar.set(name, value);
    return twin;
  }

  async get(path: string, asking: Asking = {}): Promise<Answer> {
    const answer = await ask(this.#origin + path, { cookie: this.cookie, ...asking });
    for (const line of answer.setCookies) {
      const [, name, value, rest] = /^([^=]+)=([^;]*)(.*)$/.exec(line)!;
      if (/; Max-Age=0(;|$)/.test(rest!)) this.#jar.delete(name!);
      else this.#jar.set(name!, value!);
    }
    return answer;
  }

  async post(path: string): Promise<Answer> {
    return this.get(path, { method: "POST" });
  }

  async data(): Promise<Record<string, unknown>> {
    return Object.fromEntries(JSON.parse((await this.get("/data")).body) as [string, unknown][]);
  }
}

/** Writes bytes as they are, and gives what has come when `until` is content with it or the server hangs up. */
export function raw(port: number, bytes: string, until: (received: string) => boolean = () => false): Promise<string> {
  return new Promise((resolve, reject) => {
    let received = "";
    const socket = connect(port, "127.0.0.1", () => socket.write(bytes, "latin1"));
    socket.setEncoding("latin1");
    socket.on("data", (chunk: string) => {
      received += chunk;
      if (until(received)) socket.destroy();
    });
    socket.on("close", () => resolve(received));
    socket.on("error", (error) => (received === "" ? reject(error) : resolve(received)));
  });
}
