import { describe, expect, it } from "vitest";
import { count, downWhen, site, type Held } from "../../test/support/express-session.ts";

describe("req.session.reload()", () => {
  it("shows what another request has stored, in a new object", async () => {
    const routes = {
      "/reload": async (req: Held, res: { json(body: unknown): void }) => {
        const before = req.session;
        before.count = 99;
        await ada.get("/count");
        await before.reload();
        res.json([before.count, req.session.count, before === req.session]);
      },
      ...count,
    };
    const { visitor } = await site(routes);
    const ada = visitor();
    await ada.get("/count");
    expect(JSON.parse((await ada.get("/reload")).body)).toEqual([2, 2, false]);
  });

  it.each(["destroy", "regenerate"])("leaves an object of before it with which %s() ends the session", async (end) => {
    const routes = {
      "/logout": async (req: Held, res: { send(body: string): void }) => {
        const before = req.session;
        await before.reload();
        await before[end]();
        res.send(typeof req.session);
      },
      ...count,
    };
    const { visitor } = await site(routes);
    const ada = visitor();
    await ada.get("/count");
    const other = ada.twin();
    expect((await ada.get("/logout")).body).toBe(end === "destroy" ? "undefined" : "object");
    expect((await other.get("/count")).body).toBe("1");
  });

  it("leaves the session as it is where the store fails: it can be changed and ended", async () => {
    let isDown = false;
    const reload = async (req: Held) => {
      isDown = true;
      await req.session.reload().catch(() => {});
      isDown = false;
    };
    const routes = {
      "/change": async (req: Held, res: { send(body: string): void }) => {
        await reload(req);
        req.session.count = 40;
        res.send("");
      },
      "/logout": async (req: Held, res: { send(body: string): void }) => {
        await reload(req);
        await req.session.destroy();
        res.send("");
      },
      ...count,
    };
    const { visitor } = await site(routes, { store: downWhen(() => isDown) });
    const ada = visitor();
    await ada.get("/count");
    await ada.get("/change");
    expect((await ada.get("/count")).body).toBe("41");
    const other = ada.twin();
    await ada.get("/logout");
    expect((await other.get("/count")).body).toBe("1");
  });

  it("fails after destroy(), and does not take it back", async () => {
    const routes = {
      "/logout": async (req: Held, res: { send(body: string): void }) => {
        const { session } = req;
        session.destroy();
        res.send(String(await session.reload().catch((error: Error) => error.message)));
      },
      ...count,
    };
    const { visitor } = await site(routes);
    const ada = visitor();
    await ada.get("/count");
    const other = ada.twin();
    expect((await ada.get("/logout")).body).toBe("failed to load session");
    expect((await other.get("/count")).body).toBe("1");
  });

  it.each(["destroy", "regenerate"])("leaves an object before it whose %s() ends the session", async (method) => {
    const routes = {
      "/end": async (req: Held, res: { send(body: string): void }) => {
        const { session: before } = req;
        await before.reload();
        await before[method]();
        res.send("");
      },
      ...count,
    };
    const { visitor } = await site(routes);
    const ada = visitor();
    await ada.get("/count");
    const other = ada.twin();
    await ada.get("/end");
    expect((await other.get("/count")).body).toBe("1");
  });

  it("fails for a session that is not stored", async () => {
    const routes = {
      "/": (req: Held, res: { send(body: string): void }) =>
        req.session.reload((error: Error | undefined) => res.send(String(error?.message))),
    };
    const { visitor } = await site(routes);
    expect((await visitor().get("/")).body).toBe("failed to load session");
  });
});
