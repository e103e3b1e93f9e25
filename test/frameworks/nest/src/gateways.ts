import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as connectTcp } from "node:net";
import { Controller, Module, Post, type Type } from "@nestjs/common";
import { IoAdapter } from "@nestjs/platform-socket.io";
import { WsAdapter } from "@nestjs/platform-ws";
import { SubscribeMessage, WebSocketGateway, type OnGatewayDisconnect } from "@nestjs/websockets";
import { io } from "socket.io-client";
import type { Sessions as AllSessions } from "sojourn";
import { Session, Sessions, SignedIn, SojournModule, UserId, withSession } from "sojourn/nest";
import { cookieFor } from "sojourn/testing";
import { WebSocket } from "ws";
import { createApp, listen, type Platform } from "./application.js";
import { newSessions, type Case } from "./case.js";

@WebSocketGateway()
class PlainGateway {
  @SubscribeMessage("who")
  who(@UserId() userId: string | undefined, @Session() session: Session) {
    return { event: "you", data: userId ?? `nobody, ${session.isNew ? "new" : "known"}` };
  }

  @SubscribeMessage("secret")
  @SignedIn()
  secret(@UserId() userId: string) {
    return { event: "you", data: `the secret of ${userId}` };
  }
}

@WebSocketGateway({ namespace: "rooms" })
class NamespaceGateway {
  @SubscribeMessage("who")
  who(@UserId() userId: string | undefined) {
    return { event: "you", data: userId ?? "nobody" };
  }
}

@WebSocketGateway()
class CountingGateway implements OnGatewayDisconnect {
  static handled = 0;
  static leave = () => {};

  @SubscribeMessage("count")
  count() {
    CountingGateway.handled += 1;
    return { event: "counted", data: CountingGateway.handled };
  }

  handleDisconnect() {
    CountingGateway.leave();
  }
}

@Controller()
class LogoutController {
  @Post("logout")
  logout(@Session() session: Session) {
    session.signOut();
  }
}

type Kind = "socket.io" | "ws";

/** A client: it sends one message, and waits for the answer. */
interface Talk {
  ask(event: string): Promise<unknown>;
  /** The end of the connection, by the server. */
  readonly ended: Promise<unknown>;
  close(): void;
}

type Connect = (url: string, headers: Record<string, string>, path?: string) => Promise<Talk>;

const connectIo: Connect = async (url, extraHeaders, path = "") => {
  const socket = io(url + path, { extraHeaders, transports: ["websocket"], reconnection: false, forceNew: true });
  const ended = new Promise((resolve) => socket.once("disconnect", resolve));
  await new Promise<void>((resolve, reject) => socket.once("connect", resolve).once("connect_error", reject));
  return {
    ask: (event) =>
      new Promise((resolve) => {
        socket.once("you", resolve).once("exception", resolve);
        socket.emit(event, {});
      }),
    ended,
    close: () => void socket.close(),
  };
};

const connectWs: Connect = async (url, headers) => {
  const socket = new WebSocket(url.replace("http", "ws"), { headers });
  const ended = new Promise((resolve) => socket.once("close", resolve));
  await once(socket, "open");
  return {
    async ask(event) {
      socket.send(JSON.stringify({ event, data: {} }));
      const [message] = (await once(socket, "message")) as [Buffer];
      return (JSON.parse(message.toString()) as { data: unknown }).data;
    },
    ended,
    close: () => socket.close(),
  };
};

async function withGateways(
  platform: Platform,
  kind: Kind,
  check: (given: { url: string; sessions: AllSessions }) => Promise<void>,
  gateways: Type[] = [PlainGateway],
): Promise<void> {
  const sessions = newSessions();
  @Module({ imports: [SojournModule.forRoot({ sessions })], controllers: [LogoutController], providers: gateways })
  class AppModule {}
  const app = await createApp(platform, AppModule);
  app.useWebSocketAdapter(withSession(app.get(Sessions), kind === "ws" ? new WsAdapter(app) : new IoAdapter(app)));
  const { url, close } = await listen(app);
  try {
    await check({ url, sessions });
  } finally {
    await close();
  }
}

/** A client that never answers the server's end of the connection. */
async function connectStubborn(url: string, cookie: string) {
  const { hostname, port } = new URL(url);
  const socket = connectTcp(Number(port), hostname);
  const lines = [
    "GET / HTTP/1.1",
    `Host: ${hostname}:${port}`,
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    `Cookie: ${cookie}`,
  ];
  socket.write(`${lines.join("\r\n")}\r\n\r\n`);
  const [head] = (await once(socket, "data")) as [Buffer];
  assert.match(head.toString(), /^HTTP\/1\.1 101 /);
  const payload = Buffer.from('{"event":"count","data":{}}');
  return {
    /** Sends a message, in a frame whose mask is zero. */
    send: () => socket.write(Buffer.concat([Buffer.from([0x81, 0x80 | payload.length, 0, 0, 0, 0]), payload])),
    /** The first byte of the next frame. */
    frame: async () => ((await once(socket, "data")) as [Buffer])[0][0],
    end: () => socket.end(),
  };
}

const CLOSE_FRAME = 0x88;

/** The rules of gateways, on one of the platforms. */
export const gatewayCases = (platform: Platform): Case[] =>
  (["socket.io", "ws"] as const).flatMap((kind) => casesOf(platform, kind, kind === "ws" ? connectWs : connectIo));

const casesOf = (platform: Platform, kind: Kind, connect: Connect): Case[] => [
  {
    name: `gives the session to the handlers of a gateway (${kind})`,
    run: () =>
      withGateways(platform, kind, async ({ url, sessions }) => {
        const [visitor, ada] = await Promise.all([
          connect(url, {}),
          connect(url, { cookie: await cookieFor(sessions, "ada") }),
        ]);
        assert.equal(await visitor.ask("who"), "nobody, new");
        assert.equal(await ada.ask("who"), "ada");
        assert.equal(await ada.ask("secret"), "the secret of ada");
        const refusal = (await visitor.ask("secret")) as object;
        assert.deepEqual(refusal, { status: "error", message: "Please sign in", errorCode: "ERR_SESSION_SIGN_IN" });
        visitor.close();
        ada.close();
      }),
  },
  {
    name: `disconnects a gateway's client at a sign-out elsewhere (${kind})`,
    run: () =>
      withGateways(platform, kind, async ({ url, sessions }) => {
        const cookie = await cookieFor(sessions, "ada");
        const ada = await connect(url, { cookie });
        const bob = await connect(url, { cookie: await cookieFor(sessions, "bob") });
        assert.equal(await ada.ask("who"), "ada");
        await fetch(`${url}/logout`, { method: "POST", headers: { cookie } });
        assert.equal(await ada.ended, kind === "ws" ? 4401 : "io server disconnect");
        assert.equal(await bob.ask("who"), "bob");
        bob.close();
      }),
  },
  {
    name: `lets no page of another origin connect to a gateway (${kind})`,
    run: () =>
      withGateways(platform, kind, async ({ url, sessions }) => {
        const cookie = await cookieFor(sessions, "ada");
        await assert.rejects(connect(url, { cookie, origin: "https://evil.example" }), /403|another site/);
        (await connect(url, { cookie, origin: url })).close();
      }),
  },
  ...(kind === "socket.io"
    ? [
        {
          name: "gives the session to a gateway with a namespace (socket.io)",
          run: () =>
            withGateways(
              platform,
              kind,
              async ({ url, sessions }) => {
                const ada = await connect(url, { cookie: await cookieFor(sessions, "ada") }, "/rooms");
                assert.equal(await ada.ask("who"), "ada");
                assert.equal(await sessions.revokeAll("ada"), 1);
                assert.equal(await ada.ended, "io server disconnect");
              },
              [PlainGateway, NamespaceGateway],
            ),
        },
      ]
    : [
        {
          name: "handles no message after the end of the session, from a client that stays (ws)",
          run: () =>
            withGateways(
              platform,
              kind,
              async ({ url, sessions }) => {
                CountingGateway.handled = 0;
                const client = await connectStubborn(url, await cookieFor(sessions, "ada"));
                client.send();
                await client.frame();
                assert.equal(CountingGateway.handled, 1);
                const left = new Promise<void>((resolve) => (CountingGateway.leave = resolve));
                await sessions.revokeAll("ada");
                assert.equal(await client.frame(), CLOSE_FRAME);
                client.send();
                client.end();
                await left;
                assert.equal(CountingGateway.handled, 1);
              },
              [CountingGateway],
            ),
        },
      ]),
];
