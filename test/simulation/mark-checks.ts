import type { Session } from "sojourn";
import { NEVER, type Mark, type RequestModel } from "./model.ts";
import type { Observer } from "./observer.ts";
import { WRITES } from "./operations.ts";

type Data = Record<string, unknown>;

/** Compares the marks that writes have left in sessions with what was acknowledged. */
export class MarkChecks {
  readonly #observer: Observer;

  constructor(observer: Observer) {
    this.#observer = observer;
  }

  /** A handler writes something. */
  mark(request: RequestModel, write: string, session: Session<Data>): Mark {
    const name = `${request.number}.${request.marks.length}`;
    const mark: Mark = {
      name,
      write,
      request,
      homes: new Set([session.id]),
      state: "pending",
      ackedAt: NEVER,
      removals: [],
    };
    if (request.session && !request.hasSignedOut) mark.homes.add(request.session.id);
    request.marks.push(mark);
    this.#observer.model.marks.push(mark);
    return mark;
  }

  removes(request: RequestModel, mark: Mark): void {
    // Nothing of it will ever be stored, also where a save() that was refused has kept it for the next one.
    const isKept = mark.state === "refused" && request.setAside?.marks.includes(mark) === true;
    if (mark.request === request && (mark.state === "pending" || isKept)) return void (mark.state = "dropped");
    const removal = { from: this.#observer.now, ackedAt: undefined, request };
    mark.removals.push(removal);
    request.removed.push(removal);
  }

  /** Flashes that a handler was given. */
  took(request: RequestModel, messages: readonly string[]): void {
    for (const mark of this.#observer.model.marks) {
      if (mark.write !== "flash") continue;
      const count = messages.filter((one) => one === mark.name).length;
      const isOwn = mark.request === request;
      const takenBefore = mark.removals.some((one) => one.request === request);
      if (takenBefore && count > 0 && !request.hasFailed)
        this.#observer.breach("flash shown twice", `flash ${mark.name}`);
      if (!isOwn && !takenBefore) {
        if (request.session && !request.hasSignedOut && !request.signIn && !request.hasFailed)
          this.#compare(mark, count, request, "flash");
        else if (count > 0 && !request.session) this.#observer.breach("foreign flash", `flash ${mark.name}`);
      }
      if (count > 0) this.removes(request, mark);
    }
  }

  /** A session was read: its data hold what they must, and nothing else. */
  check(request: RequestModel, session: Session<Data>): void {
    const { model } = this.#observer;
    const data = session.data;
    for (const mark of model.marks) {
      if (mark.write === "flash") continue;
      const write = WRITES[mark.write]!;
      const count = write.count(data, mark.name);
      this.#compare(mark, count, request, write.key(mark.name), write.isReplaceable);
    }
  }

  /** What others have written to the data that a handler has. */
  ofOthers(request: RequestModel, { data }: Session<Data>): readonly string[] {
    const isThere = (one: Mark) => one.request !== request && WRITES[one.write]?.count(data, one.name);
    return this.#observer.model.marks.filter(isThere).map(({ name }) => name);
  }

  /** A call of `save()` that was not to merge has stored everything. */
  checkUnmerged(request: RequestModel, session: Session<Data>, before: readonly string[]): void {
    const merged = this.ofOthers(request, session).find((name) => !before.includes(name));
    if (merged !== undefined)
      this.#observer.breach("merged without leave", `request ${request.number} has merged ${merged}`);
  }

  #compare(mark: Mark, count: number, request: RequestModel, key: string, isReplaceable = false): void {
    const session = request.session!;
    const expected = this.#observer.model.expectation(
      mark,
      session,
      { began: request.openedAt, ended: this.#observer.now },
      key,
    );
    const where = `${mark.write} by request ${mark.request.number} (${mark.state}) in session ${this.#observer.short(session.id)}`;
    if (expected === "must" && count === 0 && !isReplaceable)
      this.#observer.breach("lost update", `${where} is not there`);
    if (expected === "never" && count > 0) this.#observer.breach("update that may not be there", where);
    // Whoever saves again after a failure that told nothing may have it stored twice.
    if (count > 1 && !mark.request.hasFailed) this.#observer.breach("update stored twice", where);
  }

  /**
   * A change in place of what was there before a sign-in goes with that, where it does not come along. One of what save()
   * has failed to store has nothing to be in.
   */
  mayBeStripped(request: RequestModel, { write }: Mark): boolean {
    const { session } = request;
    if (request.hasFailed && WRITES[write]?.isInPlace) return true;
    if (session?.request !== request || !session.former || !WRITES[write]?.isInPlace) return false;
    return (
      !session.isHeir || session.isUncertain || session.keep !== undefined || session.former.userId !== session.userId
    );
  }

  /** A write was acknowledged, and its session has ended. */
  drop(request: RequestModel, mark: Mark): void {
    mark.state = "dropped";
    const { token, hasFailed } = request;
    if (hasFailed || request.hasSignedOut) return;
    if (token && !this.#observer.isEndedByOthers(request))
      this.#observer.breach("dropped without a cause", `what request ${request.number} wrote`);
  }
}
