import { setImmediate as nextTurn, setTimeout as pause } from "node:timers/promises";
import { describe, expect, it, onTestFinished } from "vitest";
import { site } from "../../test/support/stores.ts";

interface Data {
  name?: string;
  n?: number;
}

const storeFailure = expect.objectContaining({ code: "ERR_SESSION_STORE", status: 503 });

/** A browser with a session, whose next updates become these, and the rejections that nobody has taken. */
async function visited(...update: ("ok" | "error")[]) {
  const unhandled: unknown[] = [];
  const listener = (error: unknown) => void unhandled.push(error);
  process.on("unhandledRejection", listener);
  onTestFinished(() => void process.off("unhandledRejection", listener));
  const shop = site<Data>({ faults: { update } });
  const browser = shop.browser();
  await browser.visit((session) => (session.data.name = "Ada"));
  return { ...shop, browser, unhandled };
}

describe("A save() whose promise nobody looks at", () => {
  describe.each([
    ["that the response does not wait for", 0],
    ["that has failed before the response", 5],
  ])("%s", (_, time) => {
    it("fails the response if that can't store the changes either", async () => {
      const { browser, unhandled } = await visited("error", "error");
      const { session, end } = await browser.begin();
      session.data.name = "Bob";
      void session.save();
      if (time > 0) await pause(time);
      await expect(end()).rejects.toEqual(storeFailure);
      await nextTurn();
      expect(unhandled).toEqual([]);
      expect(await browser.data()).toEqual({ name: "Ada" });
    });

    it("is made up for by the response", async () => {
      const { browser, unhandled } = await visited("error", "ok");
      const { session, end } = await browser.begin();
      session.update("n", (n = 0) => n + 1);
      void session.save();
      if (time > 0) await pause(time);
      expect((await end()).status).toBe(200);
      await nextTurn();
      expect(unhandled).toEqual([]);
      expect(await browser.data()).toEqual({ name: "Ada", n: 1 });
    });

    it("fails the response for a value that can't be kept", async () => {
      const { browser, unhandled } = await visited();
      const { session, end } = await browser.begin();
      (session.data as Record<string, unknown>)["bad"] = () => 1;
      void session.save();
      if (time > 0) await pause(time);
      await expect(end()).rejects.toThrow("session.data.bad can't be kept");
      await nextTurn();
      expect(unhandled).toEqual([]);
    });

    it("fails the response that can't bring a new token", async () => {
      const { browser } = await visited("error", "error");
      const { session, end } = await browser.begin();
      session.rotate();
      void session.save();
      if (time > 0) await pause(time);
      await expect(end()).rejects.toEqual(storeFailure);
    });
  });

  it("is made up for by the end of a body that is being sent", async () => {
    const { browser, unhandled } = await visited("error", "ok");
    const { session, end } = await browser.begin();
    expect(session.data.name).toBe("Ada");
    const body = new ReadableStream({
      async pull(controller) {
        session.data.name = "Bob";
        void session.save();
        await pause(5);
        controller.close();
      },
    });
    await (await end(new Response(body))).text();
    expect(unhandled).toEqual([]);
    expect(await browser.data()).toEqual({ name: "Bob" });
  });

  it("counts as one that somebody looks at, once somebody does", async () => {
    const { browser } = await visited("error", "ok");
    const { session, end } = await browser.begin();
    session.data.name = "Bob";
    const saving = session.save();
    await expect(Promise.resolve(saving)).rejects.toEqual(storeFailure);
    expect((await end()).status).toBe(200);
    expect(await browser.data()).toEqual({ name: "Ada" });
  });
});
