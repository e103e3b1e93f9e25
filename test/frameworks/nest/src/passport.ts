import assert from "node:assert/strict";
import { Controller, Get, Injectable, Module, Post, Req, UseGuards, type ExecutionContext } from "@nestjs/common";
import { AuthGuard, PassportStrategy } from "@nestjs/passport";
import { Strategy } from "passport-local";
import { SojournModule, SignedIn, UserId } from "sojourn/nest";
import { createApp, listen, type Platform } from "./application.js";
import { cookieOf, newSessions, type Case } from "./case.js";
import { usePassport } from "./guide/passport.js";

interface User {
  readonly id: string;
  readonly name: string;
}

interface PassportRequest {
  readonly user?: User;
  logOut(done: (error?: unknown) => void): void;
}

@Injectable()
class LocalStrategy extends PassportStrategy(Strategy) {
  validate(username: string, password: string): User | undefined {
    return password === "right" ? { id: `id of ${username}`, name: username } : undefined;
  }
}

@Injectable()
class LogInGuard extends AuthGuard("local") {
  override async canActivate(context: ExecutionContext) {
    const isAdmitted = (await super.canActivate(context)) as boolean;
    await this.logIn(context.switchToHttp().getRequest());
    return isAdmitted;
  }
}

@Controller()
class PassportController {
  @Post("login")
  @UseGuards(LogInGuard)
  login(@Req() request: PassportRequest) {
    return request.user;
  }

  @Get("me")
  @SignedIn()
  me(@UserId() userId: string, @Req() request: PassportRequest) {
    return { userId, name: request.user?.name };
  }

  @Post("logout")
  async logout(@Req() request: PassportRequest) {
    await new Promise<void>((resolve, reject) => request.logOut((error) => (error ? reject(error) : resolve())));
    return "out";
  }
}

/** The rules of @nestjs/passport, on one of the platforms. */
export const passportCases = (platform: Platform): Case[] => [
  {
    name: "signs in and out by @nestjs/passport, with a new token, and gives the user to handlers",
    async run() {
      const sessions = newSessions();
      @Module({
        imports: [SojournModule.forRoot({ sessions })],
        controllers: [PassportController],
        providers: [LocalStrategy],
      })
      class AppModule {}
      const app = await createApp(platform, AppModule);
      usePassport(app, async (id) => ({ id, name: id.replace("id of ", "") }) satisfies User);
      const { url, close } = await listen(app);
      const logIn = (password: string, cookie = "") =>
        fetch(`${url}/login`, {
          method: "POST",
          headers: { cookie, "content-type": "application/json" },
          body: JSON.stringify({ username: "ada", password }),
        });
      const me = (cookie: string) => fetch(`${url}/me`, { headers: { cookie } });
      try {
        const wrong = await logIn("wrong");
        assert.deepEqual([wrong.status, wrong.headers.getSetCookie()], [401, []]);

        const first = await logIn("right");
        assert.deepEqual([first.status, await first.json()], [201, { id: "id of ada", name: "ada" }]);
        const cookie = cookieOf(first);
        assert.deepEqual(await (await me(cookie)).json(), { userId: "id of ada", name: "ada" });

        const again = cookieOf(await logIn("right", cookie));
        assert.notEqual(again, cookie);
        assert.equal((await me(cookie)).status, 401);

        await fetch(`${url}/logout`, { method: "POST", headers: { cookie: again } });
        assert.equal((await me(again)).status, 401);
        assert.equal((await sessions.list("id of ada")).length, 0);
      } finally {
        await close();
      }
    },
  },
];
