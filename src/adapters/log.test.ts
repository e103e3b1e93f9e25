import { H3 } from "h3";
import { Hono } from "hono";
import { afterEach, describe, expect, it, vi } from "vitest";
import { SessionError } from "../errors.ts";
import { createSessions } from "../sessions.ts";
import { memoryStore } from "../stores/memory.ts";
import { withSession } from "./fetch.ts";
import { sessionMiddleware as onH3 } from "./h3.ts";
import { sessionMiddleware as onHono } from "./hono.ts";
import { logSessionError } from "./log.ts";

const sessions = createSessions<{ note: string }>({
  secretKey: "kuDEP9ZgV5mS3yB1xHc7Qa0RtLwYfJ2n",
  store: memoryStore(),
});
const TOO_LARGE = "n".repeat(10_000_000);

const servers: Readonly<Record<string, () => Response | Promise<Response>>> = {
  Hono: () =>
    new Hono()
      .use(onHono(sessions))
      .get("/", (c) => {
        c.var.session.data.note = TOO_LARGE;
        return c.text("ok");
      })
      .request("/"),
  h3: () =>
    new H3()
      .use(onH3(sessions))
      .get("/", (event) => {
        sessions.of(event.req).data.note = TOO_LARGE;
        return "ok";
      })
      .request("/"),
  fetch: () =>
    withSession(sessions, (_request, session) => {
      session.data.note = TOO_LARGE;
      return new Response("ok");
    })(new Request("http://localhost/")),
};

afterEach(() => void vi.restoreAllMocks());

describe("an error that an adapter answers", () => {
  it.each(Object.entries(servers))("is logged once by %s if data are over the limits", async (_, answer) => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    expect((await answer()).status).toBe(413);
    expect(log.mock.calls).toEqual([[expect.objectContaining({ code: "ERR_SESSION_TOO_LARGE" })]]);
  });

  it("is not logged if only the client can mend it", () => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    logSessionError(new SessionError("ERR_SESSION_ORIGIN", "A page of another site"));
    expect(log).not.toHaveBeenCalled();
  });
});
