import { describe, expect, it } from "vitest";
import { seededRandom } from "../../test/support/random.ts";
import { site, type Underway } from "../../test/support/stores.ts";

const EVERY = 1000;
const GRACE = 300;

/** A moment of a schedule: the next step of a request, or the clock moving on. */
type Move = { readonly request: number } | { readonly advance: number };

/** All orders of the steps of some requests, each request's own steps in order. */
function* interleavings(steps: readonly number[]): Generator<number[]> {
  if (steps.every((left) => left === 0)) yield [];
  for (let request = 0; request < steps.length; request++) {
    if (steps[request] === 0) continue;
    const rest = steps.with(request, steps[request]! - 1);
    for (const order of interleavings(rest)) yield [request, ...order];
  }
}

/**
 * Runs a schedule of requests of one browser: each is sent with the cookie that the jar holds at that moment, commits,
 * and has its response arrive, or be lost. Whatever rotation promises is checked on the way.
 *
 * A response that arrives more than a grace after its commit may put an old token over a new one, which decision 008
 * declares: from then on the schedule promises nothing of the browser.
 */
async function run(moves: readonly Move[], lost: ReadonlySet<number>, writes: boolean): Promise<string | undefined> {
  const shop = site({
    rotation: { every: `${EVERY}ms`, grace: `${GRACE}ms` },
    idleTimeout: "1d",
  });
  const alarms: unknown[] = [];
  shop.sessions.on("replayed", (event) => alarms.push(event));
  const browser = shop.browser();
  await browser.visit((session) => session.signIn("ada"));

  const name = [...browser.jar.keys()][0]!;
  /** Tokens in the order in which they were handed out, and when each was confirmed by being committed with. */
  const chain = [browser.jar.get(name)!];
  const confirmedAt = new Map([[chain[0]!, shop.time.now]]);
  const requests: {
    readonly sent: string;
    underway?: Underway<Record<string, unknown>>;
    cookie?: string;
    isCommitted?: boolean;
  }[] = [];

  /** Whether a token was followed by one that was confirmed longer than a grace ago. */
  const isDead = (token: string) => {
    const next = confirmedAt.get(chain[chain.indexOf(token) + 1] ?? "");
    return next !== undefined && shop.time.now >= next + GRACE;
  };

  for (const move of moves) {
    if ("advance" in move) {
      shop.time.now += move.advance;
      continue;
    }
    const request = requests[move.request];
    if (!request) requests[move.request] = { sent: browser.jar.get(name)! };
    else if (!request.underway) {
      if (isDead(request.sent)) return undefined;
      const tab = browser.copy();
      tab.jar.set(name, request.sent);
      request.underway = await tab.begin();
      if (request.underway.session.userId !== "ada") return `request ${move.request} is signed out`;
    } else if (!request.isCommitted) {
      if (writes) request.underway.session.data[`of${move.request}`] = true;
      const answer = await request.underway.end();
      request.isCommitted = true;
      // The sender's own token was seen.
      const place = chain.indexOf(request.sent);
      if (!confirmedAt.has(request.sent) && place === confirmedAt.size) confirmedAt.set(request.sent, shop.time.now);
      const line = answer.headers.getSetCookie()[0];
      if (line === undefined) continue;
      request.cookie = line.split(";")[0]!.slice(name.length + 1);
      if (!chain.includes(request.cookie)) chain.push(request.cookie);
      if (chain.length > confirmedAt.size + 1) return "a successor was handed out before the one before it was seen";
      if (isDead(request.cookie)) return `request ${move.request} was handed a token that is rotated out`;
    } else if (request.cookie !== undefined && !lost.has(move.request)) {
      browser.jar.set(name, request.cookie);
    }
  }
  if (alarms.length > 0) return "a replay was reported that was none";
  for (const token of chain) {
    const { session } = await (() => {
      const one = browser.copy();
      one.jar.set(name, token);
      return one.begin();
    })();
    const is = session.userId === "ada";
    if (is && isDead(token)) return "a token that was rotated out is good again";
    if (!is && !isDead(token) && alarms.length === 0) return "a token that was handed out opens nothing";
    if (alarms.length > 0) return undefined;
  }
  if (writes) {
    for (let i = 0; i < requests.length; i++) {
      if (!requests[i]?.isCommitted) continue;
      const one = browser.copy();
      one.jar.set(name, chain.at(-1)!);
      if ((await one.data())[`of${i}`] !== true) return `what request ${i} wrote is gone`;
    }
  }
  // The browser goes on, one request after the other, over two more rotations.
  if (isDead(browser.jar.get(name)!)) return undefined;
  for (const pause of [0, 0, EVERY, 0, 0, EVERY, GRACE, 0]) {
    shop.time.now += pause;
    const underway = await browser.begin();
    if (underway.session.userId !== "ada") return "the browser is signed out later on";
    await underway.end();
  }
  return alarms.length > 0 ? "a replay was reported that was none" : undefined;
}

const ADVANCES = [EVERY, GRACE, EVERY + GRACE];

/** Puts up to two moves of the clock between the steps. */
function withClock(order: readonly number[], random: () => number): Move[] {
  const moves = order.map((request): Move => ({ request }));
  const below = (limit: number) => Math.floor(random() * limit);
  // A rotation is due at the beginning, as a rule.
  if (random() < 0.8) moves.unshift({ advance: EVERY });
  for (let n = below(3); n > 0; n--) moves.splice(below(moves.length), 0, { advance: ADVANCES[below(3)]! });
  return moves;
}

/** Each request is sent, read, committed, and its response arrives; in half of the schedules it is read as it is sent. */
const SLOW = [...interleavings([4, 4, 4])];
const QUICK = [...interleavings([3, 3, 3])].map((order) =>
  order.flatMap((request, at) => (order.indexOf(request) === at ? [request, request] : request)),
);
const SAMPLE = Number(process.env["SOJOURN_ROTATION_SCHEDULES"] ?? 4000);

describe("Periodic rotation, in interleavings of three requests with lost responses and a moving clock", () => {
  it(`signs nobody out, reports no theft that is none, and revives no token (${SAMPLE} schedules)`, async () => {
    const random = seededRandom(8);
    for (let n = 0; n < SAMPLE; n++) {
      const orders = n % 2 ? SLOW : QUICK;
      // A large sample goes through all of them in turn.
      const order = SAMPLE < 2 * orders.length ? Math.floor(random() * orders.length) : (n >> 1) % orders.length;
      const moves = withClock(orders[order]!, random);
      const lost = new Set([0, 1, 2].filter(() => random() < 0.3));
      const writes = random() < 0.5;
      const wrong = await run(moves, lost, writes);
      expect(wrong, `with ${JSON.stringify({ moves, lost: [...lost], writes })}`).toBeUndefined();
    }
  });
});
