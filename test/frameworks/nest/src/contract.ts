import { Readable } from "node:stream";
import { All, Controller, Module, Req, Res, StreamableFile, type Type } from "@nestjs/common";
import { HttpAdapterHost } from "@nestjs/core";
import { Session, SojournModule, type PlatformRequest } from "sojourn/nest";
import { adapterContract, type AdapterParts, type AdapterRoute } from "sojourn/testing";
import { BODY_LIMIT, createApp, listen, type Platform } from "./application.js";

/** The contract of adapters, on one of the platforms. */
export const contractCases = (platform: Platform) =>
  adapterContract((parts) => start(platform, parts), { nested: false, severalSessions: false, bodyLimit: BODY_LIMIT });

async function start(platform: Platform, { mounts, routes }: AdapterParts) {
  @Module({
    imports: mounts.map(({ sessions, options }) => SojournModule.forRoot({ sessions, ...options })),
    controllers: routes.map(controllerOf),
  })
  class AppModule {}
  return listen(await createApp(platform, AppModule));
}

function controllerOf({ path, handle }: AdapterRoute): Type {
  @Controller()
  class RouteController {
    constructor(private readonly host: HttpAdapterHost) {}

    @All(path)
    async answer(
      @Req() request: PlatformRequest & { body?: unknown },
      @Res() response: unknown,
      @Session() session: Session,
    ) {
      const { httpAdapter } = this.host;
      const reply = await handle(session, {
        request,
        header: (name) => request.headers[name] as string | undefined,
        text: async () => (typeof request.body === "string" ? request.body : ""),
      });
      for (const [name, value] of reply.headers) httpAdapter.appendHeader(response, name, value);
      if (reply.redirect !== undefined) return httpAdapter.redirect(response, 303, reply.redirect);
      // As Nest does it with the value that a handler returns.
      const body = typeof reply.body === "string" ? reply.body : new StreamableFile(Readable.from(reply.body));
      return httpAdapter.reply(response, body, reply.status);
    }
  }
  return RouteController;
}
