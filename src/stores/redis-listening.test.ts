import { describe, expect, it, vi } from "vitest";
import { clusterListening, type Channels, type Listening } from "./redis-listening.ts";

/** A cluster of two nodes, each with a channel. */
function fakeCluster(ready: (node: object) => Promise<void> = async () => {}) {
  const [a, b] = [{ name: "a" }, { name: "b" }];
  const where = new Map<string, object>([
    ["one", a],
    ["two", b],
  ]);
  const opened: (Channels & { node: object; closed: boolean })[] = [];
  const visit = vi.fn<(channel: string) => Promise<void>>(async () => {});
  const listen = clusterListening({
    nodeOf: async (channel) => where.get(channel)!,
    open:
      (node) =>
      (channels): Listening => {
        const entry = { node, ...channels, closed: false };
        opened.push(entry);
        return { ready: ready(node), ping: async () => {}, close: () => void (entry.closed = true) };
      },
    visit,
  });
  const start = () =>
    listen(
      { plain: "all", shards: ["one", "two"] },
      () => {},
      () => {},
    );
  return { a, b, where, opened, visit, start };
}

describe("clusterListening", () => {
  it("opens a connection to each node, for its channels, and hears the plain channel over one of them", async () => {
    const { a, b, opened, visit, start } = fakeCluster();
    await start().ready;
    expect(opened).toEqual([
      { node: a, plain: "all", shards: ["one"], closed: false },
      { node: b, plain: undefined, shards: ["two"], closed: false },
    ]);
    expect(visit).not.toHaveBeenCalled();
  });

  it("finds out that a channel is elsewhere, though nothing has told it", async () => {
    const { a, where, visit, start } = fakeCluster();
    const listening = start();
    await listening.ready;
    await listening.ping();
    visit.mockImplementation(async (channel) => void where.set(channel, a));
    await expect(listening.ping()).rejects.toThrow(/moved/);
  });

  it("has the client look where the channels are that could not be heard", async () => {
    const { b, visit, start } = fakeCluster(async (node) => {
      if (node === b) throw new Error("MOVED");
    });
    await expect(start().ready).rejects.toThrow("MOVED");
    expect(visit.mock.calls).toEqual([["two"]]);
  });

  it("looks no second time while a look is under way", async () => {
    const { b, visit, start } = fakeCluster(async (node) => {
      if (node === b) throw new Error("connection refused");
    });
    visit.mockImplementation(() => new Promise<void>(() => {}));
    for (let turn = 0; turn < 3; turn += 1) await expect(start().ready).rejects.toThrow("refused");
    expect(visit).toHaveBeenCalledOnce();
  });

  it("closes all of its connections, and opens none afterwards", async () => {
    const { opened, start } = fakeCluster();
    const listening = start();
    await listening.ready;
    listening.close();
    expect(opened.map(({ closed }) => closed)).toEqual([true, true]);
    const late = start();
    late.close();
    await late.ready;
    expect(opened).toHaveLength(2);
  });
});
