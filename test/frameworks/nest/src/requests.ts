import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import {
  Controller,
  Get,
  Injectable,
  Module,
  Post,
  UseGuards,
  UseInterceptors,
  type CallHandler,
  type CanActivate,
  type ExecutionContext,
  type MiddlewareConsumer,
  type NestInterceptor,
  type NestModule,
  type PipeTransform,
} from "@nestjs/common";
import { NestFactory, type AbstractHttpAdapter } from "@nestjs/core";
import { FastifyAdapter } from "@nestjs/platform-fastify";
import { Test } from "@nestjs/testing";
import { createSessions, type Sessions as AllSessions } from "sojourn";
import { memoryStore } from "sojourn/memory";
import { bearerTokens } from "sojourn/bearer";
import { returnTo, Session, Sessions, SignedIn, SojournModule, UserId, type PlatformRequest } from "sojourn/nest";
import { cookieFor, faulty, testClock, tokenFor } from "sojourn/testing";
import { createApp, listen, type Platform } from "./application.js";
import { cookieOf, newSessions, send, type Case } from "./case.js";

interface Seen extends PlatformRequest {
  session: Session;
  seen?: Session[];
}

/** What the handler before has seen, by the session itself. */
const seen = new WeakMap<Session, string[]>();
const see = (session: Session, place: string) => seen.set(session, [...(seen.get(session) ?? []), place]);

@Injectable()
class SeeingGuard implements CanActivate {
  canActivate(context: ExecutionContext) {
    see(context.switchToHttp().getRequest<Seen>().session, "guard");
    return true;
  }
}

@Injectable()
class SeeingInterceptor implements NestInterceptor {
  intercept(context: ExecutionContext, next: CallHandler) {
    see(context.switchToHttp().getRequest<Seen>().session, "interceptor");
    return next.handle();
  }
}

@Injectable()
class NamePipe implements PipeTransform<string | undefined, string> {
  transform(userId: string | undefined) {
    return `the user ${userId}`;
  }
}

@Injectable()
class Devices {
  constructor(readonly sessions: Sessions) {}
}

@Controller()
class PlacesController {
  constructor(private readonly devices: Devices) {}

  @Get("places")
  @UseGuards(SeeingGuard)
  @UseInterceptors(SeeingInterceptor)
  places(@Session() session: Session, @UserId(NamePipe) name: string) {
    return { name, places: seen.get(session), isSame: this.devices.sessions.list !== undefined };
  }

  @Get("me")
  @SignedIn()
  me(@UserId() userId: string) {
    return userId;
  }

  @Get("account")
  @SignedIn({ loginPage: "/login" })
  account() {
    return "the account";
  }

  @Post("pay")
  @SignedIn({ within: "10m" })
  pay() {
    return "paid";
  }

  @Get("login")
  login(@Session() session: Session) {
    session.signIn("ada");
    return "in";
  }
}

class PlacesModule implements NestModule {
  configure(consumer: MiddlewareConsumer) {
    consumer
      .apply((request: Seen, _response: unknown, next: () => void) => {
        see(request.session, "middleware");
        next();
      })
      .forRoutes("places");
    consumer
      .apply((request: Seen, response: { end(text: string): void }) => {
        request.session.signIn("ada");
        response.end("in");
      })
      .forRoutes("by-middleware");
  }
}

function moduleWith(sessions: AllSessions, options: object = {}) {
  class AppModule extends PlacesModule {}
  Module({
    imports: [SojournModule.forRoot({ sessions, ...options })],
    controllers: [PlacesController],
    providers: [Devices],
  })(AppModule);
  return AppModule;
}

/** Starts an application, and calls it with fetch. */
async function withApp(
  platform: Platform,
  sessions: AllSessions,
  check: (get: (path: string, headers?: Record<string, string>, method?: string) => Promise<Response>) => Promise<void>,
  options: object = {},
): Promise<void> {
  const app = await listen(await createApp(platform, moduleWith(sessions, options)));
  try {
    await check((path, headers = {}, method = "GET") => send(app.url + path, method, headers));
  } finally {
    await app.close();
  }
}

/** The rules of requests, on one of the platforms. */
export const requestCases = (platform: Platform): Case[] => [
  {
    name: "gives one session to middleware, guards, interceptors, pipes and handlers",
    async run() {
      const sessions = newSessions();
      await withApp(platform, sessions, async (get) => {
        const response = await get("/places", { cookie: await cookieFor(sessions, "ada") });
        assert.deepEqual(await response.json(), {
          name: "the user ada",
          places: ["middleware", "guard", "interceptor"],
          isSame: true,
        });
      });
    },
  },
  {
    name: "stores the session of a middleware that answers by itself",
    async run() {
      await withApp(platform, newSessions(), async (get) => {
        const response = await get("/by-middleware");
        assert.equal(await response.text(), "in");
        assert.equal(await (await get("/me", { cookie: cookieOf(response) })).text(), "ada");
      });
    },
  },
  {
    name: "answers 401 in the form of Nest where nobody is signed in",
    async run() {
      const sessions = newSessions();
      await withApp(platform, sessions, async (get) => {
        const response = await get("/me");
        assert.equal(response.status, 401);
        assert.deepEqual(await response.json(), {
          statusCode: 401,
          message: "Please sign in",
          error: "Unauthorized",
          errorCode: "ERR_SESSION_SIGN_IN",
        });
        assert.equal(await (await get("/me", { cookie: await cookieFor(sessions, "ada") })).text(), "ada");
      });
    },
  },
  {
    name: "tells a native client by WWW-Authenticate that a guarded route takes a bearer token",
    async run() {
      const sessions = newSessions();
      await withApp(
        platform,
        sessions,
        async (get) => {
          const response = await get("/me");
          assert.deepEqual([response.status, response.headers.get("www-authenticate")], [401, "Bearer"]);
          const token = await tokenFor(sessions, "ada");
          assert.equal(await (await get("/me", { authorization: `Bearer ${token}` })).text(), "ada");
        },
        { bearer: bearerTokens() },
      );
    },
  },
  {
    name: "sends a browser to the login page, which knows the way back",
    async run() {
      await withApp(platform, newSessions(), async (get) => {
        const response = await get("/account?tab=2", { accept: "text/html", "sec-fetch-mode": "navigate" });
        assert.equal(response.status, 303);
        const location = response.headers.get("location")!;
        assert.equal(location, "/login?returnTo=%2Faccount%3Ftab%3D2");
        assert.equal(returnTo(new Request(new URL(location, "http://localhost"))), "/account?tab=2");
        assert.equal((await get("/account", { accept: "application/json" })).status, 401);
      });
    },
  },
  {
    name: "asks for a sign-in that is recent enough",
    async run() {
      const { clock, advance } = testClock();
      const sessions = createSessions({ secretKey: randomBytes(32), store: memoryStore({ clock }), clock });
      await withApp(platform, sessions, async (get) => {
        const cookie = await cookieFor(sessions, "ada");
        assert.equal((await get("/pay", { cookie }, "POST")).status, 201);
        advance("11m");
        const late = await get("/pay", { cookie }, "POST");
        assert.equal(late.status, 401);
        assert.match(await late.text(), /sign in again/);
      });
    },
  },
  {
    name: "answers 503 while the store fails, and keeps the user signed in",
    async run() {
      let fails = false;
      const store = faulty(memoryStore(), { read: () => (fails ? "error" : "ok") });
      const sessions = createSessions({ secretKey: randomBytes(32), store });
      await withApp(platform, sessions, async (get) => {
        const cookie = await cookieFor(sessions, "ada");
        fails = true;
        const { error } = console;
        const logged: unknown[] = [];
        console.error = (line) => logged.push(line);
        const response = await get("/me", { cookie });
        console.error = error;
        // Nest's own filter logs it, but these applications have no logger.
        assert.deepEqual(logged, []);
        assert.deepEqual([response.status, response.headers.getSetCookie()], [503, []]);
        assert.equal(((await response.json()) as { statusCode: number }).statusCode, 503);
        fails = false;
        assert.equal(await (await get("/me", { cookie })).text(), "ada");
      });
    },
  },
  {
    name: "takes the sessions from a factory with injected providers, and closes them with the application",
    async run() {
      const made = newSessions();
      let closed = 0;
      const sessions: AllSessions = Object.assign(made, { close: async () => void (closed += 1) });
      class Config {
        readonly sessions = sessions;
      }
      @Module({ providers: [Config], exports: [Config] })
      class ConfigModule {}
      @Module({
        imports: [
          SojournModule.forRootAsync({
            imports: [ConfigModule],
            inject: [Config],
            useFactory: async (config: Config) => ({ sessions: config.sessions }),
          }),
        ],
        controllers: [PlacesController],
        providers: [Devices],
      })
      class AppModule {}
      const app = await createApp(platform, AppModule);
      assert.equal(app.get(Sessions), sessions);
      const { url, close } = await listen(app);
      const response = await fetch(`${url}/me`, { headers: { cookie: await cookieFor(sessions, "ada") } });
      assert.equal(await response.text(), "ada");
      assert.equal(closed, 0);
      await close();
      assert.equal(closed, 1);
    },
  },
  {
    name: "says so at the start if a factory gives no sessions",
    async run() {
      @Module({ imports: [SojournModule.forRootAsync({ useFactory: () => ({ sessions: {} as AllSessions }) })] })
      class AppModule {}
      await assert.rejects(createApp(platform, AppModule), { name: "TypeError", message: /createSessions\(\)/ });
    },
  },
  {
    name: "works in an application of Test.createTestingModule",
    async run() {
      const sessions = newSessions();
      const module = await Test.createTestingModule({ imports: [moduleWith(sessions)] }).compile();
      const app =
        platform === "fastify" ? module.createNestApplication(new FastifyAdapter()) : module.createNestApplication();
      app.useLogger(false);
      const { url, close } = await listen(app);
      try {
        const response = await fetch(`${url}/places`, { headers: { cookie: await cookieFor(sessions, "ada") } });
        const { places } = (await response.json()) as { places: string[] };
        assert.deepEqual(places, ["middleware", "guard", "interceptor"]);
      } finally {
        await close();
      }
    },
  },
  {
    name: "gives the sessions to an application without HTTP",
    async run() {
      const sessions = newSessions();
      const context = await NestFactory.createApplicationContext(moduleWith(sessions), {
        logger: false,
        abortOnError: false,
      });
      assert.equal(context.get(Devices).sessions, sessions);
      await context.close();
    },
  },
  {
    name: "says what to import where a handler has no session",
    async run() {
      @Module({ controllers: [PlacesController], providers: [{ provide: Devices, useValue: {} }] })
      class AppModule {}
      const app = await createApp(platform, AppModule);
      const errors: unknown[] = [];
      app.useGlobalFilters({
        catch(error: unknown, host) {
          errors.push(error);
          app.getHttpAdapter().reply(host.switchToHttp().getResponse(), "failed", 500);
        },
      });
      const { url, close } = await listen(app);
      try {
        assert.equal((await fetch(`${url}/me`)).status, 500);
        assert.match(String(errors[0]), /TypeError: .*SojournModule\.forRoot/);
      } finally {
        await close();
      }
    },
  },
  {
    name: "runs other hooks of the platform's requests too, set before or after",
    async run() {
      const sessions = newSessions();
      const app = await createApp(platform, moduleWith(sessions));
      const called: string[] = [];
      const adapter = app.getHttpAdapter() as AbstractHttpAdapter;
      adapter.setOnRequestHook((_request: unknown, _response: unknown, done: () => void) => {
        called.push("hook");
        done();
      });
      const { url, close } = await listen(app);
      try {
        assert.equal(
          await (await fetch(`${url}/me`, { headers: { cookie: await cookieFor(sessions, "ada") } })).text(),
          "ada",
        );
        assert.deepEqual(called, ["hook"]);
      } finally {
        await close();
      }
    },
  },
];
