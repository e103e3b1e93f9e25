// Middleware of others without types of its own. @types/passport and its like would add members to every request.

declare module "connect-flash" {
  import type { RequestHandler } from "express";
  export default function flash(): RequestHandler;
}

declare module "method-override" {
  import type { RequestHandler } from "express";
  export default function methodOverride(name: string): RequestHandler;
}

declare module "passport" {
  import type { RequestHandler } from "express";
  export type User = { id: string; [key: string]: unknown };
  class Passport {
    use(strategy: object): this;
    serializeUser(serialize: (user: User, done: (error: null, value: unknown) => void) => void): void;
    deserializeUser(deserialize: (value: never, done: (error: null, user: User | false) => void) => void): void;
    initialize(): RequestHandler;
    session(): RequestHandler;
    authenticate(name: string, options?: object): RequestHandler;
  }
  class Strategy {
    name?: string;
    success(user: object): void;
    fail(challenge: object): void;
  }
  const passport: { Passport: typeof Passport; Strategy: typeof Strategy };
  export default passport;
}

declare module "passport-local" {
  type Done = (error: null, user: object | false, info?: object) => void;
  export const Strategy: new (verify: (username: string, password: string, done: Done) => void) => object;
}

declare module "passport-oauth2" {
  type Done = (error: null, user: object) => void;
  type Verify = (access: string, refresh: string, profile: object, done: Done) => void;
  const OAuth2Strategy: new (options: object, verify: Verify) => object;
  export default OAuth2Strategy;
}

declare module "connect-ensure-login" {
  import type { RequestHandler } from "express";
  export function ensureLoggedIn(options: string | object): RequestHandler;
}

declare module "express-flash" {
  import type { RequestHandler } from "express";
  export default function flash(): RequestHandler;
}

declare module "lusca" {
  import type { RequestHandler } from "express";
  const lusca: { csrf(options?: object): RequestHandler };
  export default lusca;
}

declare module "express-mysql-session" {
  import type { Store } from "express-session";
  class MySqlStore extends Store {
    constructor(options: object, pool: object);
    onReady(): Promise<void>;
    get: Store["get"];
    set: Store["set"];
    destroy: Store["destroy"];
  }
  export default function create(session: object): typeof MySqlStore;
}
