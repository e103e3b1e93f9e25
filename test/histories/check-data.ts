import type { Breach, Life, Promises, Rule } from "./check.ts";
import { CONTAINERS, type Container, type Operation, type SessionRequest } from "./history.ts";

type Add = SessionRequest & { readonly container: Container; readonly element: string };
type Read = SessionRequest & { readonly seen: NonNullable<SessionRequest["seen"]> };

/** Whether each read shows what was acknowledged, nothing else, and nothing twice. */
export function checkData(life: Life, promises: Promises, askers: ReadonlyMap<string, string>): Breach[] {
  const reads = life.requests
    .filter((one): one is Read => one.outcome === "ok" && one.seen !== undefined)
    .toSorted((a, b) => a.began - b.began);
  const reporter = createReporter(life.name);
  const requests = life.requests.map((one) =>
    mayBeDropped(one, life, promises) ? { ...one, outcome: "unknown" as const } : one,
  );
  checkCounter(requests, reads, promises, reporter.report);
  for (const container of CONTAINERS) {
    const adds = requests.filter((one): one is Add => one.kind === "add" && one.container === container);
    checkElements(container, adds, reads, promises, askers, reporter.report);
  }
  checkOrder(life, reads, promises, reporter.report);
  return reporter.breaches;
}

/** Whether an acknowledged change may have been dropped together with a session that a failover has brought back. */
function mayBeDropped({ outcome, ended }: SessionRequest, { ends }: Life, { seenStays = true }: Promises): boolean {
  if (seenStays || outcome !== "ok") return false;
  return ends.some(({ operation }) => operation.outcome === "unknown" && operation.began < ended);
}

type Report = (rule: Rule, subject: string, ...evidence: Operation[]) => void;

/** One mistake may show in each later read: it is reported once for each element. */
function createReporter(session: string): { readonly breaches: Breach[]; readonly report: Report } {
  const breaches: Breach[] = [];
  const reported = new Set<string>();
  return {
    breaches,
    report(rule, detail, ...evidence) {
      const key = `${rule} ${detail}`;
      if (!reported.has(key)) breaches.push({ rule, session, detail, evidence });
      reported.add(key);
    },
  };
}

function checkElements(
  container: Container,
  adds: readonly Add[],
  reads: readonly Read[],
  { staleness = 0, seenStays = true }: Promises,
  askers: ReadonlyMap<string, string>,
  report: Report,
): void {
  const sets = new Map(reads.map((read) => [read, new Set(read.seen[container])]));
  const byElement = new Map(adds.map((add) => [add.element, add]));

  for (const read of reads) {
    for (const element of sets.get(read)!) {
      const add = byElement.get(element);
      if (!add) report(askers.has(element) ? "another session's" : "never asked for", element, read);
      else if (add.outcome === "failed") report("refused, and there", element, add, read);
      else if (add.began > read.ended) report("seen before it was asked for", element, read, add);
    }
    const elements = read.seen[container];
    if (elements.length > sets.get(read)!.size) {
      report(
        "twice",
        elements.find((element, index) => elements.indexOf(element) !== index)!,
        read,
      );
    }
  }

  const last = reads.at(-1);
  for (const add of adds) {
    const withIt = reads.filter((read) => sets.get(read)!.has(add.element));
    const firstSeen = Math.min(...withIt.map(({ ended }) => ended));
    const without = reads.filter((read) => !sets.get(read)!.has(add.element));
    const missed = add.outcome === "ok" ? without.find((read) => add.ended + staleness < read.began) : undefined;
    if (missed) {
      const isBack = last !== undefined && sets.get(last)!.has(add.element);
      report(isBack ? "stale read" : "lost update", add.element, add, missed);
      continue;
    }
    if (!seenStays) continue;
    const lost = without.find((read) => firstSeen + staleness < read.began);
    if (lost)
      report(
        "lost after it was seen",
        add.element,
        withIt.find(({ ended }) => ended === firstSeen)!,
        lost,
      );
  }
}

function checkCounter(
  requests: readonly SessionRequest[],
  reads: readonly Read[],
  { staleness = 0, seenStays = true }: Promises,
  report: Report,
): void {
  const counts = requests.filter(({ kind, outcome }) => kind === "count" && outcome !== "failed");
  // Sorted, so that a bound is found by counting: a session has many reads and many counts.
  const acknowledged = counts
    .filter(({ outcome }) => outcome === "ok")
    .map(({ ended }) => ended)
    .toSorted((a, b) => a - b);
  const asked = counts.map(({ began }) => began).toSorted((a, b) => a - b);
  for (const [index, read] of reads.entries()) {
    const { count } = read.seen;
    const least = countBelow(acknowledged, read.began - staleness);
    const most = countBelow(asked, read.ended);
    if (count < least) report("counter too low", `${count}, and ${least} were acknowledged`, read);
    if (count > most) report("counter too high", `${count}, and ${most} were asked for`, read);
    if (!seenStays) continue;
    const higher = reads.slice(0, index).find((one) => one.seen.count > count && one.ended + staleness < read.began);
    if (higher) report("counter went back", `${count} after ${higher.seen.count}`, higher, read);
  }
}

function countBelow(sorted: readonly number[], limit: number): number {
  const index = sorted.findIndex((one) => one >= limit);
  return index === -1 ? sorted.length : index;
}

/** An array to which elements are only appended: of two reads, one shows the beginning of the other. */
function checkOrder(life: Life, reads: readonly Read[], { seenStays = true }: Promises, report: Report): void {
  const byLength = reads.toSorted((a, b) => a.seen.list.length - b.seen.list.length);
  for (const [index, longer] of byLength.entries()) {
    const shorter = byLength[index - 1];
    if (!seenStays || !shorter) continue;
    const at = shorter.seen.list.findIndex((element, position) => longer.seen.list[position] !== element);
    // An element that is missing altogether is lost, which is reported as that.
    if (at !== -1 && longer.seen.list.includes(shorter.seen.list[at]!)) {
      report("order changed", shorter.seen.list[at]!, shorter, longer);
    }
  }
  const longest = byLength.at(-1);
  if (!longest) return;
  const adds = new Map(life.requests.filter(({ kind }) => kind === "add").map((add) => [add.element, add]));
  let latest: SessionRequest | undefined;
  for (const element of longest.seen.list) {
    const add = adds.get(element);
    if (!add) continue;
    // `latest` is asked for after `add` was acknowledged, and stands before it.
    if (latest && add.outcome === "ok" && add.ended < latest.began)
      report("out of order", element, add, latest, longest);
    if (!latest || add.began > latest.began) latest = add;
  }
}
