import { Module } from "@nestjs/common";
import { APP_FILTER } from "@nestjs/core";
import { createSessions } from "sojourn";
import { csrfProtection } from "sojourn/csrf";
import { fileStore } from "sojourn/file";
import { SojournModule } from "sojourn/nest";
import { AppController } from "./app.controller.js";
import { ErrorPageFilter } from "./error-page.filter.js";

declare module "sojourn" {
  interface SessionData {
    username?: string;
  }
}

const { SECRET_KEY, SESSION_DIR } = process.env;

const sessions = createSessions({
  secretKey: SECRET_KEY,
  store: fileStore(SESSION_DIR ? { directory: SESSION_DIR } : {}),
});

@Module({
  imports: [SojournModule.forRoot({ sessions, csrf: csrfProtection() })],
  controllers: [AppController],
  providers: [{ provide: APP_FILTER, useClass: ErrorPageFilter }],
})
export class AppModule {}
