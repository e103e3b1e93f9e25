import { afterEach, describe, expect, it, vi } from "vitest";
import { createSubscribers } from "./subscribers.ts";

function setUp() {
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
  it("starts the source for the first subscriber, stops it after the last, and starts it again", () => {
    const { log, subscribers, listener } = setUp();
    const ends = [subscribers.subscribe(listener("a")), subscribers.subscribe(listener("b"))];
    subscribers.listening(true);
    subscribers.listening(true);
    for (const end of [...ends, ...ends]) end();
    subscribers.subscribe(listener("c"));
    expect(log).toEqual(["start", "a: false", "b: false", "a: true", "b: true", "stop", "start", "c: false"]);
  });

  it("notifies a later subscriber of the current listening state", () => {
    const { log, subscribers, listener } = setUp();
    subscribers.subscribe(listener("a"));
    subscribers.listening(true);
    subscribers.subscribe(listener("b"));
    expect(log).toEqual(["start", "a: false", "a: true", "b: true"]);
  });

  it("notifies a listener once for each of its subscriptions, and ends each of them separately", () => {
    const { log, subscribers, listener } = setUp();
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

  it("does not notify a subscription that a listener has just ended or has just begun", () => {
    const { log, subscribers, listener } = setUp();
    const changesSubscriptions = () => {
      end();
      subscribers.subscribe(listener("late"));
    };
    subscribers.subscribe({ ended: changesSubscriptions });
    const end = subscribers.subscribe(listener("a"));
    log.length = 0;
    subscribers.ended("1");
    expect(log).toEqual(["late: false"]);
  });

  it("emits a warning if a listener throws, also during subscribe, and notifies the others", () => {
    const warnings = vi.spyOn(process, "emitWarning").mockImplementation(() => {});
    const { log, subscribers, listener } = setUp();
    const throws = () => {
      throw new Error("error of a listener");
    };
    const end = subscribers.subscribe({ ended: throws, listening: throws });
    subscribers.subscribe(listener("a"));
    subscribers.ended("1");
    end();
    expect(log).toEqual(["start", "a: false", "a: 1 ended"]);
    expect(warnings.mock.calls).toEqual([[new Error("error of a listener")], [new Error("error of a listener")]]);
  });

  it("adds no subscription if the source can't start", () => {
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

  it("ignores a listening state that the source sets after its last subscriber has left", () => {
    const { log, subscribers, listener } = setUp();
    subscribers.subscribe(listener("a"))();
    subscribers.listening(true);
    subscribers.subscribe(listener("b"));
    expect(log).toEqual(["start", "a: false", "stop", "start", "b: false"]);
  });

  it("ends every subscription when it is closed", () => {
    const { log, subscribers, listener } = setUp();
    const end = subscribers.subscribe(listener("a"));
    subscribers.close();
    subscribers.ended("1");
    end();
    subscribers.close();
    expect(log).toEqual(["start", "a: false", "stop"]);
  });
});
