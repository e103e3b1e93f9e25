// What the cases of a framework's own share. It is copied into the folder of the suite.
import { randomBytes } from "node:crypto";
import { get } from "node:http";

const BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0";

/** To a program that does not say that it is a browser, some frameworks stream nothing. */
const send = (url, init = {}) =>
  fetch(url, { redirect: "manual", ...init, headers: { "user-agent": BROWSER, ...init.headers } });

/** As a browser opens a page: `fetch` sends a mode of its own. */
const open = (url) =>
  new Promise((resolve, reject) => {
    get(url, { headers: { accept: "text/html", "sec-fetch-mode": "navigate" } }, (response) => {
      response.resume();
      resolve(response);
    }).on("error", reject);
  });

/** A place where a handler waits until the case opens it. */
export function gate() {
  let openIt;
  let arrive;
  const opened = new Promise((resolve) => (openIt = resolve));
  const arrived = new Promise((resolve) => (arrive = resolve));
  return { open: openIt, arrived, pass: () => (arrive(), opened) };
}

/**
 * The cases, for the runner of the suite. Each is given a function that starts an application with the parts that it names.
 *
 * @param sojourn - what the library exports, of the copy that the application uses.
 * @param start - starts the application, and returns its server of node:http.
 * @param cases - the functions by the names of their cases.
 */
export function casesWith(sojourn, start, cases) {
  return Object.entries(cases).map(([name, check]) => ({
    name,
    async run() {
      const endings = [];
      try {
        await check((parts) => application(sojourn, start, parts, endings));
      } finally {
        for (const end of endings.toReversed()) await end();
      }
    },
  }));
}

async function application({ createSessions, memoryStore, cookieFor, testClock }, start, parts, endings) {
  const { clock, advance } = testClock();
  const store = memoryStore({ clock });
  const calls = { update: 0 };
  const failing = new Set();
  const fragile = {
    ...store,
    async update(...given) {
      if (failing.has("update")) throw new Error("planned failure of the store");
      calls.update += 1;
      return store.update(...given);
    },
  };
  const sessions = createSessions({ secretKey: randomBytes(32), store: fragile, clock, idleTimeout: "10m" });
  const dropped = [];
  sessions.on("dropped", (event) => dropped.push(event));
  endings.push(() => sessions.close());
  const server = await start({ mounts: [{ path: "/", sessions, options: {} }], ...parts });
  endings.push(() => {
    const closed = new Promise((resolve) => server.close(resolve));
    server.closeAllConnections();
    return closed;
  });
  const origin = `http://127.0.0.1:${server.address().port}`;
  const cookie = await cookieFor(sessions, "ada");
  return {
    sessions,
    advance,
    calls,
    failing,
    dropped,
    /** Sends a request of a user who has signed in. */
    ask: (path, init = {}) => send(origin + path, { ...init, headers: { cookie, ...init.headers } }),
    /** Sends a request without cookies. */
    visit: (path, init) => send(origin + path, init),
    navigate: (path) => open(origin + path),
    /** The data of the user's session, as they are stored. */
    dataOf: async () => ({ ...(await sessions.open(new Request(origin, { headers: { cookie } }))).data }),
  };
}
