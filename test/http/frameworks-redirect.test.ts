import { describe, expect, it } from "vitest";
import { seededRandom } from "../support/random.ts";
import { raw } from "../support/http/client.ts";
import { serve, ways } from "../support/http/servers.ts";

const CLIENTS = 10;
const ROUNDS = 20;

describe.each(ways)("sojourn for $name and a client that follows a redirect at once", (way) => {
  it(`shows it the new state, ${CLIENTS * ROUNDS} times of ${CLIENTS * ROUNDS}`, async () => {
    const { signedIn, port, faults } = await serve(way);
    const random = seededRandom(7);
    const slowly = () => ({ delay: Math.floor(random() * 6) });
    Object.assign(faults, { read: slowly, update: slowly });

    const stale: string[] = [];
    async function follow(name: string): Promise<void> {
      const { cookie } = await signedIn(name);
      const asking = (path: string) => `GET ${path} HTTP/1.1\r\nHost: localhost\r\nCookie: ${cookie}\r\n`;
      for (let round = 0; round < ROUNDS; round += 1) {
        const step = `${name}-step-${round}.`;
        // The client follows as soon as the headers arrive, without waiting for the body.
        const isHead = (received: string) => received.includes("\r\n\r\n");
        const redirect = await raw(port, `${asking(`/redirect?step=${step}`)}\r\n`, isHead);
        expect(redirect).toMatch(/^HTTP\/1\.1 303 /);
        const shown = await raw(port, `${asking("/step")}Connection: close\r\n\r\n`);
        if (!shown.includes(step)) stale.push(shown);
      }
    }
    await Promise.all(Array.from({ length: CLIENTS }, (_, n) => follow(`client-${n}`)));
    expect(stale).toEqual([]);
  });
});
