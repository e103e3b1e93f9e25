import { afterEach, describe, expect, it, vi } from "vitest";
import { createSubscribers } from "./subscribers.ts";

function site() {
  const log: string[] = [];
  const subscribers = createSubscribers({ start: () => log.push("start"), stop: () => log.push("stop") });
  const listener = (name: string) => ({
    ended: (id: string) => log.push(`${name}: ${id} ended`),
    changed: (id: string) => log.push(`${name}: ${id} changed`),
    listening: (is: boolean) => log.push(`${name}: ${is}`),
  });
  return { log, subscribers, listener };
}

afterEach(() => vi.restoreAllMocks());

describe("createSubscribers", () => {
  it("starts for the first subscriber, stops after the last, and starts anew", () => {
    const { log, subscribers, listener } = site();
    const ends = [subscribers.subscribe(listener("a")), subscribers.subscribe(listener("b"))];
    subscribers.listening(true);
    subscribers.listening(true);
    for (const end of [...ends, ...ends]) end();
    subscribers.subscribe(listener("c"));
    expect(log).toEqual(["start", "a: false", "b: false", "a: true", "b: true", "stop", "start", "c: false"]);
  });

  it("tells who comes later whether the source hears", () => {
    const { log, subscribers, listener } = site();
    subscribers.subscribe(listener("a"));
    subscribers.listening(true);
    subscribers.subscribe(listener("b"));
    expect(log).toEqual(["start", "a: false", "a: true", "b: true"]);
  });

  it("notifies a listener as often as it is subscribed, and ends each subscription by itself, once", () => {
    const { log, subscribers, listener } = site();
    const twice = listener("a");
    const [end, endOther] = [subscribers.subscribe(twice), subscribers.subscribe(twice)];
    log.length = 0;
    subscribers.ended("1");
    end();
    end();
    subscribers.changed("2");
    endOther();
    subscribers.ended("3");
    expect(log).toEqual(["a: 1 ended", "a: 1 ended", "a: 2 changed", "stop"]);
  });

  it("notifies no subscription that another listener has just ended, and none that begins meanwhile", () => {
    const { log, subscribers, listener } = site();
    const meddles = () => {
      end();
      subscribers.subscribe(listener("late"));
    };
    subscribers.subscribe({ ended: meddles });
    const end = subscribers.subscribe(listener("a"));
    log.length = 0;
    subscribers.ended("1");
    expect(log).toEqual(["late: false"]);
  });

  it("warns of a listener that throws, at its very subscription too, and notifies the others", () => {
    const warnings = vi.spyOn(process, "emitWarning").mockImplementation(() => {});
    const { log, subscribers, listener } = site();
    const throws = () => {
      throw new Error("its own mistake");
    };
    const end = subscribers.subscribe({ ended: throws, listening: throws });
    subscribers.subscribe(listener("a"));
    subscribers.ended("1");
    end();
    expect(log).toEqual(["start", "a: false", "a: 1 ended"]);
    expect(warnings.mock.calls).toEqual([[new Error("its own mistake")], [new Error("its own mistake")]]);
  });

  it("begins no subscription where the source can't start", () => {
    let stops = 0;
    const subscribers = createSubscribers({
      start() {
        throw new TypeError("there is no connection left");
      },
      stop: () => (stops += 1),
    });
    expect(() => subscribers.subscribe({})).toThrow("no connection left");
    subscribers.close();
    expect(stops).toBe(0);
  });

  it("takes nothing for heard that a source says after its last subscriber has left", () => {
    const { log, subscribers, listener } = site();
    subscribers.subscribe(listener("a"))();
    subscribers.listening(true);
    subscribers.subscribe(listener("b"));
    expect(log).toEqual(["start", "a: false", "stop", "start", "b: false"]);
  });

  it("ends every subscription when it is closed", () => {
    const { log, subscribers, listener } = site();
    const end = subscribers.subscribe(listener("a"));
    subscribers.close();
    subscribers.ended("1");
    end();
    subscribers.close();
    expect(log).toEqual(["start", "a: false", "stop"]);
  });
});
