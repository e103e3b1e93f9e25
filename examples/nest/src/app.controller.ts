import { BadRequestException, Body, Controller, Get, Header, Post, Redirect, Req } from "@nestjs/common";
import { csrfProtection } from "sojourn/csrf";
import { Session, type PlatformRequest } from "sojourn/nest";
import { html } from "./html.js";

const csrf = csrfProtection();

@Controller()
export class AppController {
  @Get()
  @Header("Content-Type", "text/html; charset=utf-8")
  home(@Session() session: Session) {
    const { username } = session.data;
    if (username === undefined)
      return html`<h1>You are not logged in</h1>
        <a href="/login">Log in</a>`;
    return html`<h1>The login username is: ${username}</h1>
      <a href="/logout">Log out</a>`;
  }

  @Get("login")
  @Header("Content-Type", "text/html; charset=utf-8")
  loginPage() {
    return html`<form method="post">
      <input name="username" aria-label="Username" required /><button>Log in</button>
    </form>`;
  }

  @Post("login")
  @Redirect("/", 303)
  login(@Body("username") field: unknown, @Session() session: Session) {
    const username = typeof field === "string" ? field.trim() : "";
    if (username === "" || username.length > 64)
      throw new BadRequestException("Please enter a username of at most 64 characters.");
    session.data.username = username;
    session.signIn(username);
  }

  @Get("logout")
  @Redirect("/", 303)
  logout(@Req() request: PlatformRequest, @Session() session: Session) {
    // No other site may log anybody out by a link.
    csrf.check(request, session, { everyMethod: true });
    session.pop("username");
    session.signOut();
  }
}
