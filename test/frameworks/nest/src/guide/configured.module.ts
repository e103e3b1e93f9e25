import { Module } from "@nestjs/common";
import { ConfigModule, ConfigService } from "@nestjs/config";
import { createSessions } from "sojourn";
import { fileStore } from "sojourn/file";
import { SojournModule } from "sojourn/nest";

@Module({
  imports: [
    SojournModule.forRootAsync({
      imports: [ConfigModule],
      inject: [ConfigService],
      useFactory: (config: ConfigService) => ({
        sessions: createSessions({ secretKey: config.getOrThrow<string>("SECRET_KEY"), store: fileStore() }),
      }),
    }),
  ],
})
export class ConfiguredModule {}
