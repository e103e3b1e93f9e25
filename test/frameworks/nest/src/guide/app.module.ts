import { Module } from "@nestjs/common";
import { createSessions } from "sojourn";
import { csrfProtection } from "sojourn/csrf";
import { fileStore } from "sojourn/file";
import { SojournModule } from "sojourn/nest";
import { AccountController } from "./account.controller.js";

declare module "sojourn" {
  interface SessionData {
    username?: string;
  }
}

@Module({
  imports: [
    SojournModule.forRoot({
      sessions: createSessions({ secretKey: process.env.SECRET_KEY, store: fileStore() }),
      csrf: csrfProtection(),
    }),
  ],
  controllers: [AccountController],
})
export class AppModule {}
