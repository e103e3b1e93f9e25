import type { INestApplication } from "@nestjs/common";
import passport from "passport";
import { Sessions } from "sojourn/nest";
import { passportSessions } from "sojourn/passport";

interface User {
  id: string;
}

/** For main.ts, before app.listen(). */
export function usePassport(app: INestApplication, findUser: (id: string) => Promise<User | undefined>) {
  passportSessions(passport, app.get(Sessions));
  passport.serializeUser((user, done) => done(null, (user as User).id));
  passport.deserializeUser((id: string, done) => findUser(id).then((user) => done(null, user), done));

  const adapter = app.getHttpAdapter();
  if (adapter.getType() === "express") app.use(passport.session());
  else adapter.getInstance().addHook("preHandler", passport.session());
}
