import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { request as ask, type IncomingMessage } from "node:http";
import { text } from "node:stream/consumers";
import { createSessions, type Sessions } from "sojourn";
import { memoryStore } from "sojourn/memory";

declare module "sojourn" {
  interface SessionData {
    seen?: string;
  }
}

/** A rule, and the function that checks it. */
export interface Case {
  readonly name: string;
  run(): Promise<void>;
}

/** Runs one case after the other, and prints a line for each: its name, and what was wrong. */
export async function runCases(part: string, cases: readonly Case[]): Promise<void> {
  for (const { name, run } of cases) {
    const wrong = await run().then(
      () => null,
      (error: unknown) => (error instanceof Error ? (error.stack ?? error.message) : String(error)),
    );
    console.log(JSON.stringify([`${part}: ${name}`, wrong]));
  }
}

export const newSessions = (): Sessions => createSessions({ secretKey: randomBytes(32), store: memoryStore() });

/** The Cookie header of a client that got these Set-Cookie headers. */
export const cookieOf = (response: Response): string =>
  response.headers
    .getSetCookie()
    .map((line) => line.split(";", 1)[0])
    .join("; ");

/** Sends a request with exactly these headers: fetch would add some of its own. */
export async function send(url: string, method: string, headers: Record<string, string>): Promise<Response> {
  const request = ask(url, { method, headers, agent: false }).end();
  const [message] = (await once(request, "response")) as [IncomingMessage];
  const pairs = Object.entries(message.headersDistinct).flatMap(([name, values = []]) =>
    values.map((value): [string, string] => [name, value]),
  );
  return new Response(await text(message), { status: message.statusCode ?? 0, headers: pairs });
}
