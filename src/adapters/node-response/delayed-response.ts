import { EventEmitter } from "node:events";
import type { ServerResponse } from "node:http";
import type { Readable } from "node:stream";
import {
  checkHead,
  copyValue,
  lockHeaders,
  refuseStreamWrites,
  mergeHeaders,
  throwHeadersSent,
  type HeaderLock,
  type WriteHeadArguments,
  type Listener,
  type Methods,
  type NodeResponse,
} from "./delayed-headers.ts";
import { abortResponse, http2StreamOf } from "./abort.ts";

/** What {@link delayResponse} asks about one response. */
export interface ResponseHooks {
  /**
   * Asked once, synchronously, when the response is about to send its head. The headers that the program gave to
   * `writeHead` are on `res` already, so what is added here adds to them.
   *
   * `undefined`: nothing to wait for, and the response goes out at once. A promise: the response is held until it is
   * fulfilled, and a function that it is fulfilled with is called first, to set the headers that were not known before.
   * (In between `res.setHeader` refuses everybody, as it does once a head is sent.)
   *
   * Add a cookie with `setHeader` and a new array: `appendHeader` would push it into an array that the program owns
   * and may share between responses.
   */
  beforeHeaders(res: ServerResponse): Promise<(() => void) | void> | undefined;
  /**
   * Called when the response ends by another call than the one that sent its headers. The last byte waits for the promise.
   * A failure keeps the response from looking complete.
   */
  beforeEnd?(): Promise<void> | undefined;
  /** Sets the headers of an error response, on the clean one, before `onFailure`. */
  beforeFailure?(): void;
  /**
   * The response can't be sent as the program meant it. If `res.headersSent` is false, all of it was thrown away and
   * `res` is clean for an error response, which goes out without asking again. If true, a part of it is out, and the
   * connection is destroyed after this call.
   */
  onFailure(error: unknown): void;
}

/**
 * Lets no byte of a response leave before `hooks` agrees, and gets out of the way as soon as it has.
 *
 * While the response is held it looks sent to the program (`headersSent`, `writableEnded`), and `write` returns false.
 */
export function delayResponse(res: ServerResponse, hooks: ResponseHooks): void {
  new DelayedResponse(res, hooks).install();
}

class DelayedResponse {
  private state: "open" | "waiting" | "released" | "failed" = "open";
  private readonly hooks: ResponseHooks;
  /** One object, seen in two ways. */
  private readonly response: ServerResponse;
  private readonly res: NodeResponse;
  /** What was on the response before us: Node's own methods, or those of middleware mounted before us. */
  private readonly originals: Methods;
  /** What we put there. Middleware mounted after us keeps these and may call them at any time. */
  private readonly replacements: Omit<Methods, "on">;
  private readonly initialNames: string[];
  private readonly initialValues: unknown[] = [];
  private sources: Readable[] | undefined;
  private drainListeners: Listener[] | undefined;
  private delayedCalls: (() => unknown)[] = [];
  private isCallingWriteHead = false;
  private hasReturnedFalse = false;
  private isSocketFull = false;
  private isEnded = false;
  private status = 200;
  /** As they were when the headers were decided: what is set later belongs to no response. */
  private decided: Partial<Pick<NodeResponse, "sendDate" | "statusMessage">> = {};
  private isEnding = false;
  /** While the response was held, a later call than the one for its headers has ended it. */
  private endsLate = false;
  private lock: HeaderLock | undefined;
  private allowStreamWrites: (() => void) | undefined;

  constructor(res: ServerResponse, hooks: ResponseHooks) {
    this.hooks = hooks;
    this.response = res;
    this.res = res;
    const { writeHead, write, end, flushHeaders, on } = this.res;
    this.originals = { writeHead, write, end, flushHeaders, on };
    this.replacements = {
      writeHead: (...head) => this.writeHead(head),
      write: (...args) => this.write(args),
      end: (...args) => this.end(args),
      flushHeaders: () => this.flushHeaders(),
    };
    this.initialNames = res.getHeaderNames();
  }

  install(): void {
    const { res, originals, replacements } = this;
    res.writeHead = replacements.writeHead;
    res.write = replacements.write;
    res.end = replacements.end;
    res.flushHeaders = replacements.flushHeaders;
    this.allowStreamWrites = refuseStreamWrites(res);
    for (const name of this.initialNames) this.initialValues.push(copyValue(res.getHeader(name)));
    this.response.on("pipe", (source) => (this.sources ??= []).push(source));
    // compression, mounted before us, sends listeners for 'drain' elsewhere, where res.emit would not reach them.
    if (originals.on !== EventEmitter.prototype.on) {
      const listeners: Listener[] = (this.drainListeners = []);
      res.on = (event, listener) => {
        if (event === "drain" && (this.state === "open" || this.state === "waiting")) listeners.push(listener);
        return originals.on.call(res, event, listener);
      };
    }
  }

  private writeHead(args: WriteHeadArguments): unknown {
    const { res, originals } = this;
    if (this.state === "open") {
      const status = checkHead(res, args);
      res.statusCode = status;
      if (typeof args[1] === "string" && !http2StreamOf(res)) res.statusMessage = args[1];
      const head: WriteHeadArguments = args.length > 1 ? mergeHeaders(res, args) : [status];
      const state = this.callBeforeHeaders();
      if (this.isCallingWriteHead) return res;
      if (state === "released") return originals.writeHead.apply(res, head);
      this.delayedCalls.push(() => originals.writeHead.apply(res, head));
    } else if (this.state === "released") {
      return originals.writeHead.apply(res, args);
    } else if (this.state === "waiting" && (args.length > 1 || args[0] !== this.status)) {
      // The same head again without headers is fine: some look at res._header to learn whether it was sent.
      throwHeadersSent();
    }
    return res;
  }

  private write(args: unknown[]): unknown {
    const { res, originals } = this;
    const state = this.state === "open" ? this.callWriteHead() : this.state;
    if (this.isEnding) return false;
    if (state === "released") return originals.write.apply(res, args);
    // Failed: what a compressor mounted after us still has in hand. Let it run dry.
    if (state === "failed") return true;
    this.delayedCalls.push(() => (this.isSocketFull = originals.write.apply(res, args) === false));
    this.hasReturnedFalse = true;
    return false;
  }

  private end(args: unknown[]): unknown {
    const { res, originals } = this;
    const wasOpen = this.state === "open";
    const state = wasOpen ? this.callWriteHead() : this.state;
    if (this.isEnding) return res;
    this.isEnded = true;
    if (state === "released") return wasOpen ? originals.end.apply(res, args) : this.finish(args);
    if (state === "waiting") {
      this.lock?.end();
      this.endsLate = !wasOpen;
      this.delayedCalls.push(() => originals.end.apply(res, args));
    }
    return res;
  }

  /** Ends a response whose headers were sent before. */
  private finish(args: unknown[]): unknown {
    const { res, originals } = this;
    const storing = res.writableEnded ? undefined : this.storeLateChanges();
    if (!storing) return originals.end.apply(res, args);
    this.isEnding = true;
    storing.then(
      () => void originals.end.apply(res, args),
      (error: unknown) => this.fail(error),
    );
    return res;
  }

  private storeLateChanges(): Promise<void> | undefined {
    try {
      return this.hooks.beforeEnd?.();
    } catch (error) {
      return Promise.reject(error);
    }
  }

  private flushHeaders(): void {
    const { res, originals } = this;
    const state = this.state === "open" ? this.callWriteHead() : this.state;
    if (state === "released") originals.flushHeaders.call(res);
    if (state === "waiting") this.delayedCalls.push(() => originals.flushHeaders.call(res));
  }

  /** The head is about to be sent without a call of writeHead: those who listen for one, mounted after us, go first. */
  private callWriteHead(): DelayedResponse["state"] {
    const { res, replacements } = this;
    if (res.writeHead !== replacements.writeHead) {
      this.isCallingWriteHead = true;
      try {
        res.writeHead(res.statusCode);
      } finally {
        this.isCallingWriteHead = false;
      }
    }
    if (this.state !== "open") return this.state;
    checkHead(res, [res.statusCode]);
    return this.callBeforeHeaders();
  }

  private callBeforeHeaders(): DelayedResponse["state"] {
    const { res, hooks } = this;
    let stored: Promise<(() => void) | void> | undefined;
    try {
      stored = hooks.beforeHeaders(this.response);
    } catch (error) {
      stored = Promise.reject(error);
    }
    if (stored === undefined) {
      this.state = "released";
      this.restoreMethods();
    } else {
      this.state = "waiting";
      this.status = res.statusCode;
      const { sendDate } = res;
      this.decided = http2StreamOf(res) ? { sendDate } : { sendDate, statusMessage: res.statusMessage };
      this.lock = lockHeaders(res);
      void stored.then(
        (setHeaders) => this.release(setHeaders),
        (error: unknown) => this.fail(error),
      );
    }
    return this.state;
  }

  /** Puts back what was there. Assigned, since deleting a property makes V8 treat the whole object as a dictionary. */
  private restoreMethods(): void {
    const { res, originals, replacements } = this;
    this.allowStreamWrites?.();
    // Whoever listens for the head has heard of it.
    res.writeHead = originals.writeHead;
    if (res.write === replacements.write) res.write = originals.write;
    if (res.flushHeaders === replacements.flushHeaders) res.flushHeaders = originals.flushHeaders;
    if (res.end === replacements.end && !this.hooks.beforeEnd) res.end = originals.end;
  }

  private release(setHeaders: (() => void) | void): void {
    const { res, delayedCalls } = this;
    const storing = this.endsLate ? this.storeLateChanges() : undefined;
    if (storing) {
      this.endsLate = false;
      storing.then(
        () => this.release(setHeaders),
        (error: unknown) => this.fail(error),
      );
      return;
    }
    this.lock?.unlock();
    this.lock = undefined;
    this.delayedCalls = [];
    this.state = "released";
    this.restoreMethods();
    // Over HTTP/1.1 Node ignores what is written to a response that is closed; over HTTP/2 it throws.
    if (http2StreamOf(res)?.closed) return;
    try {
      res.statusCode = this.status;
      Object.assign(res, this.decided);
      setHeaders?.();
      for (const call of delayedCalls) call();
    } catch (error) {
      this.fail(error);
      return;
    }
    // We said false to somebody. Where the socket says so too, its own 'drain' will come.
    if (!this.hasReturnedFalse || this.isSocketFull || this.isEnded || res.destroyed) return;
    if (this.drainListeners) for (const listener of this.drainListeners.splice(0)) listener.call(res);
    else res.emit("drain");
  }

  private fail(error: unknown): void {
    const { res, originals, hooks } = this;
    this.lock?.unlock();
    this.allowStreamWrites?.();
    this.delayedCalls = [];
    this.state = "failed";
    for (const source of this.sources ?? []) source.unpipe?.(this.response);
    if (res.headersSent) {
      // The first to end an HTTP/2 stream decides how it ends, and error handlers destroy it as if it were complete.
      if (http2StreamOf(res)) abortResponse(this.response);
      try {
        hooks.onFailure(error);
      } finally {
        abortResponse(this.response);
      }
      return;
    }
    this.resetForError();
    // Those mounted after us believe that this response is under way, so the error response passes them by.
    const { writeHead, write, end, flushHeaders, on } = originals;
    let isHandedOver = false;
    const blank = summaryOf(res);
    // A program that had not ended may go on writing. What comes before the error path has touched the response is its.
    const isLeftover = () =>
      res.writableEnded || (isHandedOver && !this.isEnded && !res.headersSent && summaryOf(res) === blank);
    Object.assign(res, { writeHead, flushHeaders, on });
    res.write = (...args) => (isLeftover() ? false : write.apply(res, args));
    res.end = (...args) => (isLeftover() ? res : end.apply(res, args));
    hooks.onFailure(error);
    isHandedOver = true;
  }

  /** Leaves the headers that were there before us (CORS, security, the request's id) and a status that is no success. */
  private resetForError(): void {
    const { res, hooks, sources, initialNames, initialValues } = this;
    const { sendDate } = res;
    for (const name of res.getHeaderNames()) res.removeHeader(name);
    initialNames.forEach((name, i) => res.setHeader(name, initialValues[i]));
    hooks.beforeFailure?.();
    res.sendDate = sendDate;
    res.statusCode = 500;
    if (res.req.httpVersionMajor < 2) res.statusMessage = "";
    // A pipeline that was cut fails once this response is closed, and Express then destroys the connection.
    if (sources) res.shouldKeepAlive = false;
  }
}

function summaryOf(res: NodeResponse): string {
  return `${res.statusCode} ${res.listenerCount("unpipe")} ${res.getHeaderNames().join()}`;
}
