import { setImmediate as nextTurn } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { createEmitter, type SessionEvents } from "./events.ts";

/** Returns the warnings that the process emits during `act`. */
async function warningsOf(act: () => unknown): Promise<Error[]> {
  const warnings: Error[] = [];
  const listener = (warning: Error) => warnings.push(warning);
  process.on("warning", listener);
  await act();
  await nextTurn();
  await nextTurn();
  process.off("warning", listener);
  return warnings;
}

describe("Emitter", () => {
  it("calls each listener in order, until it is removed", () => {
    const emitter = createEmitter();
    const heard: string[] = [];
    const end = emitter.on("created", ({ id }) => heard.push(`first ${id}`));
    emitter.on("created", ({ id }) => heard.push(`second ${id}`));
    emitter.on("signedOut", ({ id }) => heard.push(`other ${id}`));
    emitter.emit("created", { id: "a" });
    end();
    end();
    emitter.emit("created", { id: "b" });
    expect(heard).toEqual(["first a", "second a", "second b"]);
  });

  it("tells a listener as often as it was added, and ends each by itself", () => {
    const emitter = createEmitter();
    const heard: string[] = [];
    const listener = ({ id }: { id: string }) => void heard.push(id);
    const [end, endOther] = [emitter.on("created", listener), emitter.on("created", listener)];
    emitter.emit("created", { id: "a" });
    end();
    end();
    emitter.emit("created", { id: "b" });
    endOther();
    emitter.emit("created", { id: "c" });
    expect(heard).toEqual(["a", "a", "b"]);
  });

  it("lets no listener change the event of another, or the application's client object", () => {
    const emitter = createEmitter();
    const client = { userAgent: "Firefox" };
    const heard: unknown[] = [];
    emitter.on("replayed", (event) => {
      for (const target of [event, event.client!]) Reflect.set(target, "secret", 1);
      Reflect.set(event, "id", "b");
      Reflect.set(event.client!, "userAgent", "forged");
    });
    emitter.on("replayed", (event) => void heard.push(event));
    emitter.emit("replayed", { id: "a", client });
    expect(heard).toEqual([{ id: "a", client: { userAgent: "Firefox" } }]);
    expect(client).toEqual({ userAgent: "Firefox" });
    client.userAgent = "still its own";
  });

  it("refuses a name that no event has, and a listener that is no function", () => {
    const emitter = createEmitter();
    for (const name of ["create", "", "toString", "__proto__", "constructor"]) {
      expect(() => emitter.on(name as keyof SessionEvents, () => undefined)).toThrow(/No event is called .*created/);
    }
    expect(() => emitter.on("created", undefined as unknown as () => void)).toThrow(TypeError);
  });

  it("calls the next listener after one has thrown, and warns of the error", async () => {
    const emitter = createEmitter();
    const heard: string[] = [];
    emitter.on("created", () => {
      throw new Error("the listener's mistake");
    });
    emitter.on("created", ({ id }) => heard.push(id));
    const [warning] = await warningsOf(() => emitter.emit("created", { id: "a" }));
    expect((warning as Error).message).toContain("the listener's mistake");
    expect(heard).toEqual(["a"]);
  });

  it("warns of a listener that throws no error", async () => {
    const emitter = createEmitter();
    emitter.on("created", () => {
      // oxlint-disable-next-line typescript/only-throw-error -- some do
      throw "only text";
    });
    const [warning] = await warningsOf(() => emitter.emit("created", { id: "a" }));
    expect(warning).toMatchObject({ message: 'A listener of "created" failed: only text' });
  });

  it("says in the warning that a listener failed", async () => {
    const emitter = createEmitter();
    emitter.on("created", () => {
      throw new Error("the listener's mistake");
    });
    const [warning] = await warningsOf(() => emitter.emit("created", { id: "a" }));
    expect(warning).toMatchObject({ code: "SOJOURN_LISTENER" });
  });

  it("warns of an asynchronous listener that fails, as of any other", async () => {
    const emitter = createEmitter();
    const mistake = new Error("the listener's mistake");
    const unhandled: unknown[] = [];
    const others = process.listeners("unhandledRejection");
    process.removeAllListeners("unhandledRejection").on("unhandledRejection", (reason) => unhandled.push(reason));
    // oxlint-disable-next-line typescript/no-misused-promises -- TypeScript lets it through
    emitter.on("created", () => Promise.reject(mistake));
    const warnings = await warningsOf(() => emitter.emit("created", { id: "a" }));
    process.removeAllListeners("unhandledRejection");
    for (const other of others) process.on("unhandledRejection", other);
    expect({ warnings: warnings.length, unhandled: unhandled.length }).toEqual({ warnings: 1, unhandled: 0 });
  });

  it("lets a listener remove itself and others during an event", () => {
    const emitter = createEmitter();
    const heard: string[] = [];
    const end = emitter.on("created", () => {
      heard.push("once");
      end();
    });
    emitter.on("created", () => heard.push("always"));
    emitter.emit("created", { id: "a" });
    emitter.emit("created", { id: "b" });
    expect(heard).toEqual(["once", "always", "always"]);
  });
});
