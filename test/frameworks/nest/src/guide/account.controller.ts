import { Body, Controller, Get, Post, Redirect, Sse } from "@nestjs/common";
import { fromEvent, interval, map, takeUntil } from "rxjs";
import { Session, Sessions, SignedIn, UserId } from "sojourn/nest";

@Controller()
export class AccountController {
  constructor(private readonly sessions: Sessions) {}

  @Post("login")
  @Redirect("/account", 303)
  login(@Body("username") username: string, @Session() session: Session) {
    session.data.username = username;
    session.signIn(username);
  }

  @Post("logout")
  logout(@Session() session: Session) {
    session.signOut();
  }

  @Get("account")
  @SignedIn({ loginPage: "/login" }) // 401 without a loginPage
  account(@Session() session: Session) {
    return `Hello ${session.data.username}`;
  }

  @Post("password")
  @SignedIn({ within: "10m" }) // a recent sign-in
  async changePassword(@Session() session: Session) {
    await this.sessions.credentialsChanged(session);
  }

  @Get("devices")
  @SignedIn()
  devices(@UserId() userId: string) {
    return this.sessions.list(userId);
  }

  @Sse("events")
  @SignedIn()
  events(@Session() { signal }: Session) {
    return interval(1000).pipe(
      map((count) => ({ data: { count } })),
      takeUntil(fromEvent(signal, "abort")), // signed out, revoked or expired
    );
  }
}
