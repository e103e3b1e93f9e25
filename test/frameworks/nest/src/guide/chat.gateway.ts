import type { INestApplication } from "@nestjs/common";
import { IoAdapter } from "@nestjs/platform-socket.io";
import { SubscribeMessage, WebSocketGateway } from "@nestjs/websockets";
import { Sessions, SignedIn, UserId, withSession } from "sojourn/nest";

@WebSocketGateway()
export class ChatGateway {
  @SubscribeMessage("whoami")
  @SignedIn()
  whoami(@UserId() userId: string) {
    return userId;
  }
}

/** For main.ts, before app.listen(). */
export function useSockets(app: INestApplication) {
  app.useWebSocketAdapter(withSession(app.get(Sessions), new IoAdapter(app)));
}
