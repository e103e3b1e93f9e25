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
  class Passport {
    use(strategy: object): this;
    serializeUser(serialize: (user: { id: string }, done: (error: null, id: string) => void) => void): void;
    deserializeUser(deserialize: (id: string, done: (error: null, user: { id: string }) => void) => void): void;
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
