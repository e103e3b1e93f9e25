import {
  Inject,
  Module,
  type DynamicModule,
  type FactoryProvider,
  type ModuleMetadata,
  type OnApplicationShutdown,
  type Provider,
} from "@nestjs/common";
import { HttpAdapterHost } from "@nestjs/core";
import { checkOptions } from "../../checks.ts";
import type { DeclaredData } from "../../session.ts";
import { contextOf, type Sessions as CreatedSessions } from "../../sessions.ts";
import { ADAPTER_OPTIONS, type AdapterOptions } from "../adapter.ts";
import { createMount, type PlatformRequest } from "./mount.ts";

/** The sessions that `createSessions` made. */
export type Sessions<Data extends object = DeclaredData> = CreatedSessions<Data>;

/**
 * The token of the sessions: a provider gets them by the type of its constructor's parameter, and main.ts by `app.get`.
 *
 * @example
 * constructor(private readonly sessions: Sessions) {}
 */
export const Sessions = {
  Sessions() {},
}.Sessions as unknown as new () => CreatedSessions;

/** The options of {@link SojournModule}: those of every adapter, for all routes, and the sessions. */
export interface SojournOptions<Data extends object = DeclaredData> extends AdapterOptions<PlatformRequest> {
  /** What `createSessions` made. The module closes it when the application is closed. */
  sessions: CreatedSessions<Data>;
}

/** The options of `SojournModule.forRootAsync`: those of Nest's providers that come from a factory. */
export interface SojournAsyncOptions<Data extends object = DeclaredData> {
  /** Modules whose providers are injected, such as `ConfigModule`. Default: none. */
  imports?: ModuleMetadata["imports"];
  /** The arguments of `useFactory`, such as `ConfigService`. Default: none. */
  inject?: FactoryProvider["inject"];
  /** Returns the options of the module. */
  useFactory: (...injected: never[]) => SojournOptions<Data> | Promise<SojournOptions<Data>>;
}

const OPTIONS = Symbol("sojourn.options");

/**
 * The module for NestJS, on Express and on Fastify. Import it once, in the root module. Each request has its session in
 * `request.session`: in middleware, guards, interceptors, pipes and handlers. It is stored before the first byte of the
 * response leaves.
 */
// oxlint-disable-next-line typescript/no-extraneous-class -- a module of Nest is a class
export class SojournModule {
  /**
   * Takes sessions that are there already.
   *
   * @example
   * \@Module({ imports: [SojournModule.forRoot({ sessions: createSessions({ secretKey, store }) })] })
   * export class AppModule {}
   *
   * @throws TypeError for anything but what `createSessions` made, for an unknown option, and where it is imported twice.
   */
  static forRoot<Data extends object>(options: SojournOptions<Data>): DynamicModule {
    resolveMount(options);
    return moduleWith([{ provide: OPTIONS, useValue: options }]);
  }

  /**
   * Takes sessions that need other providers, such as the application's configuration.
   *
   * @example
   * SojournModule.forRootAsync({
   *   inject: [ConfigService],
   *   useFactory: (config: ConfigService) => ({
   *     sessions: createSessions({ secretKey: config.get("SECRET_KEY"), store: fileStore() }),
   *   }),
   * })
   *
   * @throws as `forRoot`, when Nest starts the application.
   */
  static forRootAsync<Data extends object>(options: SojournAsyncOptions<Data>): DynamicModule {
    checkOptions("SojournModule.forRootAsync", options, { imports: true, inject: true, useFactory: true });
    const { imports = [], inject = [], useFactory } = options;
    return {
      ...moduleWith([{ provide: OPTIONS, inject, useFactory: useFactory as FactoryProvider["useFactory"] }]),
      imports,
    };
  }
}
Module({})(SojournModule);

function moduleWith(providers: Provider[]): DynamicModule {
  const sessions = { provide: Sessions, inject: [OPTIONS], useFactory: (options: SojournOptions) => options.sessions };
  return {
    module: SojournModule,
    global: true,
    providers: [...providers, sessions, MountedSessions],
    exports: [Sessions],
  };
}

function resolveMount<Data extends object>(given: SojournOptions<Data>): ReturnType<typeof createMount> {
  checkOptions("SojournModule.forRoot", given, { ...ADAPTER_OPTIONS, sessions: true });
  const { sessions, ...options } = given;
  if ((contextOf(sessions) as unknown) === undefined) {
    throw new TypeError('SojournModule.forRoot: sessions must be what createSessions() of "sojourn" made');
  }
  return createMount(sessions, options);
}

/** The applications that have sessions. */
const hosts = new WeakSet<HttpAdapterHost>();

/** Begins and ends with the application. */
class MountedSessions implements OnApplicationShutdown {
  readonly #sessions: CreatedSessions;

  constructor(options: SojournOptions, host: HttpAdapterHost) {
    this.#sessions = options.sessions;
    if (hosts.has(host)) {
      throw new TypeError("SojournModule is imported twice: import one SojournModule.forRoot(…), in the root module");
    }
    hosts.add(host);
    const mount = resolveMount(options);
    // An application without HTTP has none.
    if (host.httpAdapter) mount(host.httpAdapter);
    // Nest's testing module has none before createNestApplication().
    else host.init$.subscribe(() => host.httpAdapter && mount(host.httpAdapter));
  }

  /** After the last request. */
  onApplicationShutdown(): Promise<void> {
    return this.#sessions.close();
  }
}
Inject(OPTIONS)(MountedSessions, undefined, 0);
Inject(HttpAdapterHost)(MountedSessions, undefined, 1);
