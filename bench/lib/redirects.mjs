// A client that follows a redirect as soon as it has seen the headers, to another process. The network to the database delays
// each direction by up to 5 ms.
import { connect } from "node:net";
import { startContender } from "./processes.mjs";
import { cookiesOf, setCookiesOf } from "./requester.mjs";

const LONGEST_DELAY_MS = 5;

/** How many of so many redirects show the state before them. */
export async function followRedirects(row, { node, place, count }) {
  const { startProxy } = await import("../../test/support/throwaway.ts");
  const target = place.redis && row.store.startsWith("Redis") ? place.redis : place.postgres;
  const isServer = /Redis|PostgreSQL/.test(row.store);
  const proxies = isServer ? await Promise.all([startProxy(target), startProxy(target)]) : [];
  const apps = [];
  const clients = [];
  try {
    for (let n = 0; n < 2; n += 1) {
      const app = await startContender(row, isServer ? through(proxies[n], place) : place, { node });
      apps.push(app);
      clients.push(await clientOf(await app.ask("listen")));
    }
    const [here, there] = clients;
    let cookie = (await here.get("/seed")).cookie;
    let stale = 0;
    for (let n = 0; n < count; n += 1) {
      for (const proxy of proxies) proxy.delay(Math.random() * LONGEST_DELAY_MS);
      const redirect = here.get(`/redirect?key=value-${n}`, cookie);
      const head = await redirect.head;
      const shown = await there.get("/show", (cookie = head.cookie ?? cookie));
      if (!shown.text.includes(`"value-${n}"`)) stale += 1;
      await redirect;
    }
    return stale;
  } finally {
    for (const client of clients) client.close();
    await Promise.all(apps.map((app) => app.stop()));
    await Promise.all(proxies.map((proxy) => proxy.stop()));
  }
}

const through = ({ port }, place) => ({
  ...place,
  ...(place.redis && { redis: { port } }),
  ...(place.postgres && { postgres: { ...place.postgres, port } }),
});

/** As little of a client as will do, since it has to act on the headers before the body has arrived. */
async function clientOf(port) {
  const socket = connect(port, "127.0.0.1").setNoDelay().setEncoding("latin1");
  let current;
  socket.on("data", (chunk) => current?.(chunk));
  await new Promise((resolve, reject) => socket.once("connect", resolve).once("error", reject));
  return {
    /** The response; `head` of the promise is there as soon as the headers are. */
    get(path, cookie) {
      let received = "";
      let onHead;
      const head = new Promise((resolve) => (onHead = resolve));
      const response = new Promise((resolve) => {
        current = (chunk) => {
          received += chunk;
          const end = received.indexOf("\r\n\r\n") + 4;
          if (end < 4) return;
          const headers = received.slice(0, end);
          const answer = { cookie: cookiesOf(setCookiesOf(headers)), text: received.slice(end) };
          onHead(answer);
          if (isComplete(headers, answer.text)) resolve(answer);
        };
      });
      socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n${cookie ? `Cookie: ${cookie}\r\n` : ""}\r\n`);
      return Object.assign(response, { head });
    },
    close: () => socket.destroy(),
  };
}

function isComplete(headers, body) {
  const length = /^content-length: (\d+)/im.exec(headers)?.[1];
  if (length !== undefined) return body.length >= Number(length);
  return /^transfer-encoding: chunked/im.test(headers) ? body.endsWith("0\r\n\r\n") : true;
}
