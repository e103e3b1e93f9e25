import { Agent, request, type IncomingMessage } from "node:http";
import { once } from "node:events";
import type { Outcome } from "./history.ts";

/** Longer than a server takes to give up on its store. */
const GIVE_UP_MS = 15_000;

export interface Answer {
  readonly outcome: Outcome;
  /** When the headers had arrived, after which a browser follows a redirect; of a GET, when all had arrived. */
  readonly ended: number;
  readonly status?: number;
  readonly headers?: IncomingMessage["headers"];
  readonly body?: unknown;
}

/** Sends requests as a browser does. */
export interface HttpClient {
  send(port: number, method: "GET" | "POST", path: string, cookie?: string): Promise<Answer>;
  close(): void;
}

export function createHttpClient(): HttpClient {
  const agent = new Agent({ keepAlive: true, maxSockets: 100 });
  return {
    close: () => agent.destroy(),
    async send(port, method, path, cookie) {
      const headers = cookie === undefined ? {} : { cookie };
      const outgoing = request({ host: "127.0.0.1", port, method, path, agent, headers, timeout: GIVE_UP_MS });
      outgoing.on("timeout", () => outgoing.destroy(new Error("no answer")));
      outgoing.end();
      try {
        const [response] = (await once(outgoing, "response")) as [IncomingMessage];
        const ended = performance.now();
        const { statusCode: status = 0 } = response;
        if (method === "POST") {
          response.on("error", () => {}).resume();
          return { outcome: outcomeOf(status), ended, status, headers: response.headers };
        }
        const chunks: Buffer[] = [];
        for await (const chunk of response) chunks.push(chunk as Buffer);
        const text = Buffer.concat(chunks).toString();
        const body: unknown = status === 200 ? JSON.parse(text) : text;
        return { outcome: outcomeOf(status), ended: performance.now(), status, headers: response.headers, body };
      } catch (error) {
        // Nothing of a request has left where nobody listens.
        const wasSent = (error as NodeJS.ErrnoException).code !== "ECONNREFUSED";
        return { outcome: wasSent ? "unknown" : "failed", ended: performance.now() };
      }
    },
  };
}

/** 401 and 409 promise that nothing has changed. 503 and 500 promise nothing. */
function outcomeOf(status: number): Outcome {
  if (status < 400) return "ok";
  return status < 500 ? "failed" : "unknown";
}
