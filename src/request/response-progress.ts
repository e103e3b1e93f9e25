import { SessionError } from "../errors.ts";
import { hasResponseEnded, onResponseEnd, reportsNormalEnd, type AnyRequest, type CloseSource } from "./request.ts";
import { canSetCookie, isAttached, isWritten, type ResponseState } from "./state.ts";

/** How far a response is, and whether it depends on the session. All transitions of its state are here. */
export class ResponseProgress {
  readonly #request: AnyRequest;
  #state: ResponseState = "open";
  #isClosed = false;
  #isClaimed = false;
  #isAccessed = false;
  #isFailure = false;
  /** The request came with a live session: the response may be made for its user alone. */
  isPersonal = false;
  /**
   * Has somebody commit the session once more before the headers leave, where they have not left with the commit. An adapter
   * sets it. It is called at the session's first use.
   */
  beforeHeaders: { start(): void } | undefined;
  /** Its `close` event says that the response is done. An adapter sets it. */
  source: CloseSource | undefined;

  constructor(request: AnyRequest) {
    this.#request = request;
  }

  get canSetCookie(): boolean {
    return canSetCookie(this.#state);
  }

  get isWritten(): boolean {
    return isWritten(this.#state);
  }

  get isAttached(): boolean {
    return isAttached(this.#state);
  }

  get hasFailed(): boolean {
    return this.#state === "failed";
  }

  /** The headers have left, perhaps without our knowledge, as those of a hijacked reply. */
  get #hasSentHeaders(): boolean {
    return this.isWritten || (this.canSetCookie && this.source?.headersSent === true);
  }

  get hasEnded(): boolean {
    if (this.#isClosed || this.#state === "ended" || this.source?.writableEnded === true) return true;
    return (this.source !== undefined || this.isAttached) && hasResponseEnded(this.#request, this.source);
  }

  /** The response is closed, whether it had ended or not. Of a fetch request only some servers tell. */
  get isClosed(): boolean {
    const { source } = this;
    return source !== undefined && (source.destroyed === true || source.stream?.destroyed === true);
  }

  /** The response's own commit is under way. */
  get isCommitting(): boolean {
    return this.#state === "committing";
  }

  /** The program has ended the response, or its commit is under way. */
  get hasEndedItself(): boolean {
    return this.isCommitting || this.#state === "ended" || this.source?.writableEnded === true;
  }

  /** The connection is done. */
  get isDisconnected(): boolean {
    return hasResponseEnded(this.#request, this.source);
  }

  /** Nothing will say when the response ends. */
  get endIsUnknown(): boolean {
    return this.#state === "written" && !reportsNormalEnd(this.#request, this.source);
  }

  /** Makes the first adapter responsible for the response. `false` for one that is mounted within it. */
  claim(): boolean {
    if (this.#isClaimed) return false;
    this.#isClaimed = true;
    return true;
  }

  /** From here on the response's commit decides the cookie. */
  begin(): void {
    this.#state = "committing";
  }

  /** The response tells of a commit that has failed. */
  get isFailure(): boolean {
    return this.#isFailure;
  }

  fail(): void {
    this.#isFailure = true;
    this.#state = "failed";
  }

  /** The headers are written. */
  write(): void {
    this.#state = this.isAttached ? "attachedAndWritten" : "written";
  }

  /** A copy of the response is written once more: its headers have not left. */
  reopen(): void {
    if (this.#state === "written" || this.#state === "ended") this.#state = "open";
  }

  /** The last byte of a fetch response is out. */
  end(): void {
    if (this.#state === "written") this.#state = "ended";
  }

  /** There is no response, or none whose headers could set a cookie. If there is one, it is personal. */
  attach(): void {
    if (!this.isAttached) this.#state = this.isWritten ? "attachedAndWritten" : "attached";
    this.#isAccessed = true;
  }

  /** The handler has used the session: the response may depend on the cookie. */
  get isAccessed(): boolean {
    return this.#isAccessed;
  }

  /** The response depends on the cookie, whether the handler uses the session or not. */
  markAccessed(): void {
    if (this.#isAccessed) return;
    this.#isAccessed = true;
    this.beforeHeaders?.start();
  }

  /** A hook that runs after the commit uses the session: there will be another commit, if the headers have not left. */
  reopenUnsent(): void {
    if (this.#state === "written" && this.beforeHeaders && this.source?.headersSent === false) this.#state = "open";
  }

  /**
   * The handler uses the session: the response may depend on the cookie, and its headers have to say so to caches.
   *
   * @returns whether a change that follows comes too late to be stored with the response.
   * @throws SessionError ERR_SESSION_HEADERS_SENT at a first access after the headers were sent.
   */
  access(): boolean {
    if (this.#isAccessed) return !this.canSetCookie;
    this.reopenUnsent();
    const isTooLate = this.#hasSentHeaders;
    if (isTooLate && !this.hasEnded) {
      throw new SessionError(
        "ERR_SESSION_HEADERS_SENT",
        "The session was used for the first time after the response's headers were sent, so that caches were not told of " +
          "it: use it before the first byte, or give the adapter { personal: true }, or a function of the request, for such routes",
      );
    }
    this.markAccessed();
    return isTooLate;
  }

  /** Calls back when the connection is done. */
  onDone(done: () => void): void {
    onResponseEnd(this.#request, this.source, done);
  }

  /** Calls back when a connection of its own is closed. */
  onClose(closed: () => void): void {
    this.onDone(() => {
      this.#isClosed = true;
      closed();
    });
  }
}
