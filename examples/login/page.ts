import { createHash } from "node:crypto";
import { html, raw } from "hono/html";

/** The result of `html`, which escapes every value. */
type Html = ReturnType<typeof html>;

const STYLE = `
:root {
  color-scheme: light dark;
  --ground: #f4f2ec; --card: #fff; --line: #d9d5ca; --edge: #85806f;
  --text: #20231f; --quiet: #575b53; --accent: #0a5f55; --on-accent: #fff; --alarm: #a3201b; --alarm-ground: #fdeeec;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #141716; --card: #1d2220; --line: #353c39; --edge: #7c8681;
    --text: #e9ece9; --quiet: #aab3ae; --accent: #7ad7c6; --on-accent: #06231f; --alarm: #ffb4ab; --alarm-ground: #3a1d1b;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; padding: 1.25rem; min-height: 100vh; min-height: 100svh;
  display: flex; flex-direction: column; gap: 1.25rem; align-items: center;
  background: var(--ground); color: var(--text); font: 1rem/1.55 system-ui, sans-serif; overflow-wrap: anywhere;
}
header, main, footer { width: 100%; max-width: 38rem; }
header a { font-weight: 650; letter-spacing: .01em; text-decoration: none; }
main { display: grid; grid-template-columns: minmax(0, 1fr); gap: 1.25rem; flex: 1; align-content: start; }
section, aside { background: var(--card); border: 1px solid var(--line); border-radius: .75rem; padding: clamp(1.1rem, 5vw, 2rem); }
h1 { margin: 0; font-size: clamp(1.35rem, 5.5vw, 1.75rem); line-height: 1.25; }
h2 { margin: 0 0 .5rem; font-size: 1.05rem; }
p { margin: .75rem 0 0; }
aside p { margin: 0; }
aside p + p { margin: .75rem 0 0; }
a { color: var(--accent); text-underline-offset: .2em; }
.quiet, footer { color: var(--quiet); font-size: .9rem; }
.button, button {
  display: inline-block; margin-top: 1.25rem; padding: .65rem 1.4rem; min-height: 2.75rem;
  border: 1px solid transparent; border-radius: .5rem; font: inherit; font-weight: 600; text-decoration: none;
  background: var(--accent); color: var(--on-accent); cursor: pointer;
}
.button:hover, button:hover { filter: brightness(1.1); }
.button.second { padding: .55rem 1rem; border-color: var(--edge); background: none; color: var(--text); font-weight: 400; }
a:focus-visible, button:focus-visible, input:focus-visible, summary:focus-visible { outline: 3px solid var(--accent); outline-offset: 3px; border-radius: .3rem; }
.button:focus-visible, button:focus-visible, input:focus-visible { border-radius: .5rem; }
label { display: block; margin-top: 1.25rem; font-weight: 600; }
input {
  display: block; width: 100%; min-height: 2.75rem; margin-top: .35rem; padding: .5rem .75rem;
  border: 1px solid var(--edge); border-radius: .5rem; background: var(--card); color: inherit; font: inherit;
}
input[aria-invalid] { border-color: var(--alarm); border-width: 2px; }
.alarm { margin-top: 1rem; padding: .6rem .9rem; border-left: 4px solid var(--alarm); border-radius: .3rem; background: var(--alarm-ground); color: var(--alarm); }
dl { margin: 1.1rem 0 0; display: grid; grid-template-columns: minmax(0, 1fr); }
dt { margin-top: .6rem; color: var(--quiet); font-size: .9rem; }
dd, dd p { margin: 0; }
summary { color: var(--accent); cursor: pointer; font-size: .9rem; }
code { font: .88em/1.5 ui-monospace, "Liberation Mono", Menlo, Consolas, monospace; }
@media (min-width: 34rem) {
  dl { grid-template-columns: 8.5rem minmax(0, 1fr); gap: .6rem 1rem; }
  dt { margin-top: 0; }
}
`;

/** The style as one string: another blank between the tags would change the hash below. */
const STYLE_ELEMENT = raw(`<style>${STYLE}</style>`);

/** The source that the Content-Security-Policy must list to allow the style. */
export const STYLE_SOURCE = `'sha256-${createHash("sha256").update(STYLE).digest("base64")}'`;

const ICON = `data:image/svg+xml,${encodeURIComponent(
  '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><rect width="16" height="16" rx="4" fill="#0a5f55"/><path d="M5 3.5h6v9H5z" fill="#fff"/><circle cx="9.3" cy="8" r=".9" fill="#0a5f55"/></svg>',
)}`;

function layout(title: string, content: Html): Html {
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <title>${title} – Sojourn</title>
        <link rel="icon" href="${ICON}" />
        ${STYLE_ELEMENT}
      </head>
      <body>
        <header><a href="/">Sojourn</a></header>
        <main>${content}</main>
        <footer>The example in <code>examples/login</code>; its routes are in <code>app.ts</code>.</footer>
      </body>
    </html>`;
}

export interface Visitor {
  readonly username?: undefined;
  /** Whether the browser sent the cookie of a session that does not exist any more. */
  readonly cookieCame: boolean;
  /** Whether the request before this one was a sign-out. */
  readonly justLoggedOut: boolean;
}

export interface SignedIn {
  readonly username: string;
  readonly justLoggedIn: boolean;
  readonly id: string;
  readonly userId: string | undefined;
  readonly createdAt: number;
  readonly expiresAt: number;
  /** The file that holds the session's record. */
  readonly record: string | undefined;
}

export function homePage(requestSession: Visitor | SignedIn): Html {
  if (requestSession.username === undefined) {
    const { cookieCame, justLoggedOut } = requestSession;
    return layout(
      "Not logged in",
      html`<section>
          <h1>You are not logged in</h1>
          <p>
            This is the example application of Sojourn, a session library for TypeScript web servers. Log in with any
            name. The page then shows what the server and your browser keep of your session.
          </p>
          <a class="button" href="/login">Log in</a>
        </section>
        ${justLoggedOut ? ENDED : cookieCame ? STALE : NOTHING}`,
    );
  }
  return layout(
    "Logged in",
    html`<section>
        <h1>The login username is: ${requestSession.username}</h1>
        <a class="button second" href="/logout">Log out</a>
      </section>
      ${requestSession.justLoggedIn && BEGUN}
      ${explanation("Your session", requestSession.justLoggedIn ? undefined : RETURNED, facts(requestSession))}`,
  );
}

const HAPPENED = "What just happened";

const NOTHING = explanation(
  "Your session: none yet",
  html`<p>No cookie was set, and the store was not used: a visitor costs nothing.</p>`,
);

const ENDED = explanation(
  HAPPENED,
  html`<p>
    You logged out. The server deleted your session’s record from the store and told your browser to delete the cookie.
    A copy of that cookie is not accepted any more.
  </p>`,
);

const STALE = explanation(
  "Your session: none any more",
  html`<p>
    Your browser sent a session cookie, but it is not valid: that session has ended, or another server set the cookie.
    So you are a visitor, and no new cookie was set.
  </p>`,
);

const BEGUN = explanation(
  HAPPENED,
  html`<p>
    You logged in. Your browser got a cookie with a new token, and the store a record with your name in it. A token from
    before you logged in is not valid any more.
  </p>`,
);

const RETURNED = html`<p>
  Your browser sent its cookie. The server checked the signature, read the record from the store, and found your name
  there. No new cookie was needed.
</p>`;

function explanation(title: string, step?: Html, details?: Html): Html {
  return html`<aside aria-label="${title}">
    <h2>${title}</h2>
    ${step}${details}
  </aside>`;
}

function facts({ id, userId, createdAt, expiresAt, record }: SignedIn): Html {
  return html`<dl>
    ${fact("Session", html`<code>${id}</code>`, "Its public id. It may be logged: it gives no access.")}
    ${fact("Belongs to", html`<bdi>${userId}</bdi>`)} ${fact("Began", time(createdAt))}
    ${fact("Ends", time(expiresAt), "One day after your last request, at most 30 days after you logged in. A request extends it, at most once every five minutes.")}
    ${fact(
      "The cookie",
      "It contains the id, a secret and a signature, nothing else. No script can read it.",
      "Your browser keeps it for 30 days. The server goes by the time above, so the session can end earlier. This is why a request that extends the session sets no new cookie.",
    )}
    ${
      record !== undefined &&
      fact(
        "Its record",
        "Its data is encrypted. Its id and its user are not.",
        html`<details>
          <summary>Show its file</summary>
          <code>${record}</code>
        </details>`,
      )
    }
  </dl>`;
}

function fact(term: string, description: Html | string, note?: Html | string): Html {
  return html`<dt>${term}</dt>
    <dd>${description} ${note !== undefined && html`<div class="quiet">${note}</div>`}</dd>`;
}

const FORMAT = new Intl.DateTimeFormat("en-GB", { dateStyle: "long", timeStyle: "medium", timeZone: "UTC" });

function time(instant: number): Html {
  return html`<time datetime="${new Date(instant).toISOString()}">${FORMAT.format(instant)} UTC</time>`;
}

function bold(name: string): Html {
  return html`<strong><bdi>${name}</bdi></strong>`;
}

export interface LoginForm {
  readonly signedInAs?: string | undefined;
  /** The username that was sent, so that the user can correct it. */
  readonly typed?: string | undefined;
  readonly problem?: string | undefined;
}

export function loginPage({ signedInAs, typed, problem }: LoginForm): Html {
  return layout(
    problem === undefined ? "Log in" : "Error: Log in",
    html`<section>
      <h1>Log in</h1>
      ${
        signedInAs !== undefined &&
        html`<p>
          You are logged in as ${bold(signedInAs)}. Under another name a new session begins, and this one ends.
        </p>`
      }
      ${problem !== undefined && html`<p class="alarm" id="problem" role="alert">${problem}</p>`}
      <form method="post" action="/login">
        <label for="username">Username</label>
        <input
          type="text"
          id="username"
          name="username"
          value="${typed ?? ""}"
          autocomplete="username"
          autocapitalize="none"
          spellcheck="false"
          dir="auto"
          autofocus
          aria-describedby="${problem === undefined ? "hint" : "problem hint"}"
          ${problem !== undefined && raw('aria-invalid="true"')}
        />
        <p class="quiet" id="hint">Any name will do: this example asks for no password.</p>
        <button type="submit">Log in</button>
      </form>
    </section>`,
  );
}

export type Notice = "conflict" | "fault" | "foreign" | "notFound" | "outage" | "tooLarge";

const NOTICES: Readonly<Record<Notice, readonly [title: string, text: string, remedy: Html]>> = {
  notFound: [
    "Page not found",
    "There is nothing at this address.",
    html`<a class="button" href="/">To the first page</a>`,
  ],
  foreign: [
    "Refused",
    "This request came from another site, so nothing was done.",
    html`<a class="button" href="/">To the first page</a>`,
  ],
  conflict: [
    "Please try again",
    "Your session was changed elsewhere at the same moment, so nothing was done here.",
    html`<a class="button" href="/">Go on</a>`,
  ],
  outage: [
    "We can’t reach your session",
    "Nothing was lost, and nobody was logged out: where sessions are kept does not answer. Please try again in a moment.",
    // The address of this page.
    html`<a class="button" href="">Try again</a>`,
  ],
  tooLarge: [
    "That was too much",
    "What you sent is too large to be kept, so nothing was done.",
    html`<a class="button" href="/">To the first page</a>`,
  ],
  fault: [
    "Something went wrong",
    "The fault is ours. It was written down, so that it can be mended.",
    html`<a class="button" href="/">To the first page</a>`,
  ],
};

export function noticePage(notice: Notice): Html {
  const [title, text, remedy] = NOTICES[notice];
  return layout(
    title,
    html`<section>
      <h1>${title}</h1>
      <p>${text}</p>
      ${remedy}
    </section>`,
  );
}
