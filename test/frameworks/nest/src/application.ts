import { NestFactory } from "@nestjs/core";
import { ExpressAdapter, type NestExpressApplication } from "@nestjs/platform-express";
import { FastifyAdapter, type NestFastifyApplication } from "@nestjs/platform-fastify";
import type { INestApplication, Type } from "@nestjs/common";

export type Platform = "express" | "fastify";

/** The limit of request bodies, in bytes. */
export const BODY_LIMIT = 1000;

/** An application that is not started yet. */
export async function createApp(platform: Platform, module: Type): Promise<INestApplication> {
  const options = { logger: false, abortOnError: false, forceCloseConnections: true } as const;
  if (platform === "fastify") {
    return NestFactory.create<NestFastifyApplication>(module, new FastifyAdapter({ bodyLimit: BODY_LIMIT }), options);
  }
  const app = await NestFactory.create<NestExpressApplication>(module, new ExpressAdapter(), options);
  app.useBodyParser("text", { limit: BODY_LIMIT });
  return app;
}

/** Starts an application. `close` ends it. */
export async function listen(app: INestApplication): Promise<{ url: string; close(): Promise<void> }> {
  await app.listen(0, "127.0.0.1");
  return { url: await app.getUrl(), close: () => app.close() };
}
