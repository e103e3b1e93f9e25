// Types that are given to `createSessions`, in a program that declares nothing.
import express from "express";
import { createSessions, type Session, type SignInOptions } from "sojourn";
import { sessionMiddleware } from "sojourn/express";
import { memoryStore } from "sojourn/memory";
import { cookieFor, tokenFor } from "sojourn/testing";

export interface Data {
  username: string;
  visits?: number;
}

export const sessions = createSessions<Data>({ secretKey: "", store: memoryStore() });
export const app: express.Express = express();
app.use(sessionMiddleware(sessions));
app.get("/", (req, res) => {
  const session: Session<Data> = sessions.of(req);
  const username: string | undefined = session.data.username;
  // @ts-expect-error -- there is no such key
  session.data.usernmae = username;
  // @ts-expect-error -- every session begins empty, so that any key may be missing
  session.data.username.trim();
  const options: SignInOptions<Data> = { keep: ["username"] };
  session.signIn("ada", options);
  // @ts-expect-error -- there is no such key
  session.signIn("ada", { keep: ["usernmae"] });
  const visits: number = session.update("visits", (n = 0) => n + 1);
  const name: string | null = session.pop("username", null);
  res.send(`${visits} ${name}`);
});

export async function credentials(): Promise<string[]> {
  // @ts-expect-error -- there is no such key
  await cookieFor(sessions, "ada", { data: { usernmae: "ada" } });
  // @ts-expect-error -- there is no such key
  await tokenFor(sessions, "ada", { data: { usernmae: "ada" } });
  // @ts-expect-error -- null is a visitor, and undefined is nobody
  await tokenFor(sessions, undefined);
  const options = { data: { username: "ada" }, signIn: { keep: ["username"] } } satisfies Parameters<
    typeof tokenFor<Data>
  >[2];
  return [await cookieFor(sessions, null, options), await tokenFor(sessions, "ada", options)];
}
