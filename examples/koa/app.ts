import Koa from "koa";
import type { Sessions } from "sojourn";
import { csrfProtection } from "sojourn/csrf";
import { requireUser, returnTo, sessionMiddleware } from "sojourn/koa";

/** The data that the application keeps in a session. */
export interface Data {
  username: string;
}

const MAX_BODY = 16 * 1024;

/** Creates the login application with the routes `/`, `/login`, `/logout` and `/account`. */
export function createApp(sessions: Sessions<Data>) {
  const accountPage = requireUser({ loginPage: "/login" });
  return new Koa().use(sessionMiddleware(sessions, { csrf: csrfProtection() })).use(async (ctx) => {
    const { session } = ctx;
    switch (`${ctx.method} ${ctx.path}`) {
      case "GET /":
        ctx.body = page(greeting(session.data.username, session.takeFlashes("info")));
        return;
      case "GET /login":
        // The form posts to the present URL, so that the way back stays in it.
        ctx.body = page('<form method="post">Name: <input name="username" required><button>Log in</button></form>');
        return;
      case "POST /login": {
        const username = (await readForm(ctx)).get("username")?.trim() ?? "";
        if (username === "") ctx.throw(400, "Please enter a username.");
        session.data.username = username;
        session.signIn(username);
        ctx.status = 303;
        ctx.redirect(returnTo(ctx));
        return;
      }
      case "POST /logout":
        session.signOut();
        session.flash("info", "You have been logged out.");
        ctx.status = 303;
        ctx.redirect("/");
        return;
      case "GET /account":
        await accountPage(ctx, async () => {
          ctx.body = page(`<p>The account of ${escape(session.data.username ?? "")}</p>`);
        });
        return;
      default:
        ctx.throw(404);
    }
  });
}

/** Reads a form. A body without a limit would fill the memory. */
async function readForm(ctx: Koa.Context): Promise<URLSearchParams> {
  let body = "";
  for await (const chunk of ctx.req.setEncoding("utf8")) {
    body += chunk as string;
    if (body.length > MAX_BODY) ctx.throw(413);
  }
  return new URLSearchParams(body);
}

function greeting(username: string | undefined, flashes: readonly { message: unknown }[]): string {
  const notices = flashes.map(({ message }) => `<p>${escape(String(message))}</p>`).join("");
  if (username === undefined) return `${notices}<h1>You are not logged in</h1><a href="/login">Log in</a>`;
  return `${notices}<h1>The login username is: ${escape(username)}</h1>
    <form method="post" action="/logout"><button>Log out</button></form>`;
}

const page = (content: string): string => `<!doctype html><title>Sojourn and Koa</title>${content}`;

const ENTITIES: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
const escape = (plain: string): string => plain.replaceAll(/[&<>"]/g, (one) => ENTITIES[one] ?? one);
