import type { Observer } from "./observer.ts";
import { createSessionsOver } from "./processes.ts";
import { createRequest } from "./requests.ts";
import { USERS } from "./scenario.ts";
import { SharedStore, type Connection } from "./shared-store.ts";
import { as, START, type Timeline } from "./virtual-time.ts";

/** The numbers of its requests begin here. */
const PROBES = 1000;

/** Asks what each token opens by now, each in a copy of the store: a replay ends its session. */
export async function probe(observer: Observer, timeline: Timeline): Promise<void> {
  const { scenario, store } = observer;
  let number = PROBES;
  const ask = (cookies: readonly string[]) =>
    createRequest({ fates: [], steps: [], isPassive: true }, cookies, false, {
      observer,
      number: number++,
      now: timeline.now,
    });
  const copy = new SharedStore(timeline, { ...scenario, isFaulty: false, notifies: false });
  const connection: Connection = {
    isDead: false,
    survivors: [],
    isHearing: true,
    listeners: new Set(),
    clock: () => Math.floor(START + timeline.now),
  };
  const sessions = createSessionsOver(copy.connect(connection), connection, scenario);
  for (const token of observer.model.tokens.values()) {
    // oxlint-disable-next-line no-await-in-loop
    await copy.become(store);
    const request = ask([token.value]);
    request.model.openedAt = timeline.now;
    const opened = as(request.model.actor, () => sessions.open(request, { passive: true }));
    await timeline.run(timeline.now, false);
    const session = await opened;
    observer.opened(request.model, session, true);
    if (!request.model.session) continue;
    const messages = session.takeFlashes().map(({ message }) => message as string);
    observer.marks.took(request.model, messages);
  }
  await copy.become(store);
  for (const userId of USERS) {
    const listing = as(ask([]).model.actor, () => sessions.list(userId));
    // oxlint-disable-next-line no-await-in-loop
    await timeline.run(timeline.now, false);
    // oxlint-disable-next-line no-await-in-loop
    const infos = await listing;
    observer.listed(
      userId,
      infos.map(({ id }) => id),
    );
  }
}
