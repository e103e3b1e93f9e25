import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { connect, constants, type ClientHttp2Session, type Http2Server } from "node:http2";
import type { AddressInfo } from "node:net";

/** What belongs to one connection, and not to the request or the response (RFC 9113, section 8.2.2). */
const OF_CONNECTION = new Set(["connection", "keep-alive", "transfer-encoding", "host"]);

interface Gateway {
  readonly url: string;
  close(): Promise<void>;
}

/**
 * A server of HTTP/1.1 in front of one of HTTP/2: the contract's clients speak HTTP/1.1. A stream that is reset, and one whose body has not
 * the length that was declared, ends the client's connection; a client that goes away resets its stream.
 */
export async function behindGateway(server: Http2Server): Promise<Gateway> {
  if (!server.listening) await once(server.listen(0, "127.0.0.1"), "listening");
  const session = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  session.on("error", () => undefined);
  const gateway: Server = createServer((req, res) => forward(session, req, res)).listen(0, "127.0.0.1");
  await once(gateway, "listening");
  return {
    url: `http://127.0.0.1:${(gateway.address() as AddressInfo).port}`,
    async close() {
      session.destroy();
      gateway.closeAllConnections();
      await Promise.all([gateway, server].map((one) => new Promise((resolve) => void one.close(resolve))));
    },
  };
}

function forward(session: ClientHttp2Session, req: IncomingMessage, res: ServerResponse): void {
  const headers = Object.entries(req.headers).filter(([name]) => !OF_CONNECTION.has(name));
  const stream = session.request(
    { ...Object.fromEntries(headers), ":method": req.method, ":path": req.url, ":authority": req.headers.host },
    // A stream that says that it has no body reads as ended at once, also where the client has gone.
    { endStream: req.method !== "POST" },
  );
  if (req.method === "POST") req.pipe(stream);
  stream.on("response", ({ ":status": status, ...others }) => {
    for (const [name, value] of Object.entries(others)) if (value !== undefined) res.setHeader(name, value);
    res.writeHead(status!).flushHeaders();
    stream.pipe(res, { end: false });
  });
  stream.on("error", () => res.destroy());
  // A stream that is reset without an error has ended for the client of HTTP/2, too.
  stream.on("end", () => res.end());
  res.on("close", () => {
    if (!res.writableFinished) stream.close(constants.NGHTTP2_CANCEL);
  });
}
