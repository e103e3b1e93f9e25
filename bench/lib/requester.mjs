// Requests to an application in this process, without a socket or a parser: through Node's own request and response, or
// through a fetch handler.
import { IncomingMessage, ServerResponse } from "node:http";
import { Writable } from "node:stream";

const HOST = "localhost";

export function requesterOf({ listener, fetch }) {
  function fetchRequest(path, cookie) {
    return fetch(new Request(`http://${HOST}${path}`, cookie ? { headers: { cookie } } : undefined));
  }

  function nodeRequest(path, cookie, socket = nowhere()) {
    const req = new IncomingMessage(socket);
    req.method = "GET";
    req.url = path;
    req.httpVersionMajor = req.httpVersionMinor = 1;
    req.httpVersion = "1.1";
    req.headers = { host: HOST, connection: "keep-alive" };
    if (cookie) req.headers.cookie = cookie;
    req.push(null);
    const res = new ServerResponse(req);
    res.assignSocket(socket);
    return new Promise((resolve) => {
      res.on("finish", () => {
        res.detachSocket(socket);
        resolve({ status: res.statusCode });
      });
      listener(req, res);
    });
  }

  /** The cookies and the text of a response too, which a round does not look at. */
  async function whole(path, cookie) {
    if (fetch) {
      const response = await fetchRequest(path, cookie);
      return {
        status: response.status,
        cookie: cookiesOf(response.headers.getSetCookie()),
        text: await response.text(),
      };
    }
    let sent = "";
    const { status } = await nodeRequest(
      path,
      cookie,
      nowhere((chunk) => (sent += chunk)),
    );
    const head = sent.slice(0, sent.indexOf("\r\n\r\n"));
    return { status, cookie: cookiesOf(setCookiesOf(head)), text: /\{.*\}/s.exec(sent)?.[0] };
  }

  /** A client with one connection, which it keeps. */
  function visitor() {
    if (fetch) return fetchRequest;
    const socket = nowhere();
    return (path, cookie) => nodeRequest(path, cookie, socket);
  }

  return { whole, visitor };
}

/** A socket that sends nothing anywhere, or to `keep`. */
function nowhere(keep) {
  const socket = new Writable({
    decodeStrings: false,
    write(chunk, _encoding, done) {
      keep?.(String(chunk));
      done();
    },
  });
  return Object.assign(socket, { remoteAddress: "127.0.0.1" });
}

export const setCookiesOf = (head) => Array.from(head.matchAll(/^set-cookie: ([^\r\n]+)/gim), ([, cookie]) => cookie);

/** The Cookie header by which a client answers; some libraries set a signature in a cookie of its own. */
export function cookiesOf(setCookies) {
  return setCookies.length ? setCookies.map((cookie) => cookie.split(";", 1)[0]).join("; ") : undefined;
}
