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
import { logSessionError } from "../log.ts";
import { abortResponse, http2StreamOf } from "./abort.ts";
import { checkEnd, checkWrite } from "./check-chunk.ts";
import { endBelow, heldBodyOf, type HeldBody } from "./held-body.ts";
import type { ResponseHooks } from "./response-hooks.ts";

/**
 * Delays every byte of a response until `hooks.beforeHeaders` agrees, and then restores the response's own methods.
 *
 * While the response is delayed, it looks sent to the program (`headersSent`, `writableEnded`), and `write` returns
 * false.
 */
export function delayResponse(res: ServerResponse, hooks: ResponseHooks): void {
  new DelayedResponse(res, hooks).install();
}

class DelayedResponse {
  private state: "open" | "waiting" | "released" | "failed" = "open";
  private readonly hooks: ResponseHooks;
  /** `response` and `res` are one object with two types. */
  private readonly response: ServerResponse;
  private readonly res: NodeResponse;
  /** The methods that the response had before: Node's own, or those of middleware mounted before us. */
  private readonly originals: Methods;
  /** Our methods. Middleware mounted after us keeps them and may call them at any time. */
  private readonly replacements: Omit<Methods, "on">;
  /** The headers that were set before us. */
  private readonly initialHeaders: [name: string, value: unknown][] | undefined;
  private sources: Readable[] | undefined;
  private drainListeners: Listener[] | undefined;
  private delayedCalls: (() => unknown)[] | undefined;
  private isCallingWriteHead = false;
  private hasReturnedFalse = false;
  private isSocketFull = false;
  private isEnded = false;
  private status = 200;
  /** As they were when the headers were decided: what is set later belongs to no response. */
  private decided: Partial<Pick<NodeResponse, "sendDate" | "statusMessage">> | undefined;
  private isEnding = false;
  /** The call that sends the headers is `end`: nothing follows them. */
  private isWhole = false;
  /** The body, if its last byte has to wait for the end. */
  private body: HeldBody | undefined;
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
    const names = res.getHeaderNames();
    if (names.length > 0) this.initialHeaders = names.map((name) => [name, copyValue(res.getHeader(name))]);
  }

  install(): void {
    const { res, originals, replacements } = this;
    res.writeHead = replacements.writeHead;
    res.write = replacements.write;
    res.end = replacements.end;
    res.flushHeaders = replacements.flushHeaders;
    this.allowStreamWrites = refuseStreamWrites(res);
    this.response.on("pipe", (source) => (this.sources ??= []).push(source));
    // The package compression, mounted before us, adds listeners for 'drain' to its own stream: res.emit does not reach
    // them.
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
      this.delay(() => originals.writeHead.apply(res, head));
    } else if (this.state === "released") {
      return originals.writeHead.apply(res, args);
    } else if (this.state === "waiting" && (args.length > 1 || args[0] !== this.status)) {
      // The same status again, without headers, is fine: some middleware reads res._header to learn whether they were
      // sent.
      throwHeadersSent();
    }
    return res;
  }

  private write(args: unknown[]): unknown {
    checkWrite(this.res, args);
    const state = this.state === "open" ? this.callWriteHead() : this.state;
    if (this.isEnding) return false;
    if (state === "released") return this.pass(args);
    // Failed: a compressor mounted after us still writes its buffered bytes. They are discarded.
    if (state === "failed") return true;
    this.delay(() => (this.isSocketFull = this.pass(args) === false));
    this.hasReturnedFalse = true;
    return false;
  }

  private pass(args: unknown[]): unknown {
    const { res, originals, body } = this;
    return body ? body.write(originals.write, args) : originals.write.apply(res, args);
  }

  private passEnd(args: unknown[]): unknown {
    const { response, originals, body } = this;
    // A compressor before us goes by the size of the chunk.
    if (this.isWhole) return originals.end.apply(response, args);
    return endBelow(response, originals, body?.endArguments(args) ?? args);
  }

  private end(args: unknown[]): unknown {
    const { res, originals } = this;
    checkEnd(res, args);
    const wasOpen = this.state === "open";
    const state = wasOpen ? this.callWriteHead(true) : this.state;
    if (this.isEnding) return res;
    this.isEnded = true;
    if (state === "released") return wasOpen ? originals.end.apply(res, args) : this.finish(args);
    if (state === "waiting") {
      this.lock?.end();
      this.endsLate = !wasOpen;
      this.delay(() => this.passEnd(args));
    }
    return res;
  }

  /** Ends a response whose headers were sent before. */
  private finish(args: unknown[]): unknown {
    const { res } = this;
    const storing = res.writableEnded ? undefined : this.storeLateChanges();
    if (!storing) return this.passEnd(args);
    this.isEnding = true;
    storing.then(() => void this.passEnd(args)).catch((error: unknown) => this.fail(error));
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
    if (state === "waiting") this.delay(() => originals.flushHeaders.call(res));
  }

  private delay(call: () => unknown): void {
    (this.delayedCalls ??= []).push(call);
  }

  /** Calls writeHead if the program did not, so that middleware that replaced it after us runs first. */
  private callWriteHead(isWhole = false): DelayedResponse["state"] {
    const { res, replacements } = this;
    this.isWhole = isWhole;
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
        (error: unknown) => this.failDelayed(error),
      );
    }
    return this.state;
  }

  /** Restores the methods by assigning them: deleting a property makes V8 treat the whole object as a dictionary. */
  private restoreMethods(): void {
    const { res, originals, replacements, hooks } = this;
    this.allowStreamWrites?.();
    const finishes = !this.isWhole && hooks.beforeEnd !== undefined && hooks.expectsEnd?.() !== false;
    if (finishes) this.body = heldBodyOf(this.response, res.getHeader("content-length"));
    // Middleware that replaced writeHead after us was called already.
    res.writeHead = originals.writeHead;
    if (res.write === replacements.write && !this.body) res.write = originals.write;
    if (res.flushHeaders === replacements.flushHeaders) res.flushHeaders = originals.flushHeaders;
    if (res.end === replacements.end && !finishes) res.end = originals.end;
  }

  private release(setHeaders: (() => void) | void): void {
    const { res, delayedCalls = [] } = this;
    const storing = this.endsLate ? this.storeLateChanges() : undefined;
    if (storing) {
      this.endsLate = false;
      storing.then(
        () => this.release(setHeaders),
        (error: unknown) => this.failDelayed(error),
      );
      return;
    }
    this.lock?.unlock();
    this.lock = undefined;
    this.delayedCalls = undefined;
    this.state = "released";
    this.restoreMethods();
    // Over HTTP/1.1, Node ignores a write to a closed response. Over HTTP/2, it throws.
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
    // `write` returned false, so somebody waits for 'drain'. If the socket is full too, it emits 'drain' itself.
    if (!this.hasReturnedFalse || this.isSocketFull || this.isEnded || res.destroyed) return;
    if (this.drainListeners) for (const listener of this.drainListeners.splice(0)) listener.call(res);
    else res.emit("drain");
  }

  private failDelayed(reason: unknown): void {
    const fail = () => this.fail(reason);
    const preparing = this.hooks.prepareFailure?.();
    if (preparing) void preparing.then(fail);
    else fail();
  }

  private fail(error: unknown): void {
    const { res, originals } = this;
    this.lock?.unlock();
    this.allowStreamWrites?.();
    this.delayedCalls = undefined;
    this.state = "failed";
    for (const source of this.sources ?? []) source.unpipe?.(this.response);
    if (res.headersSent) {
      // The first call that ends an HTTP/2 stream decides how it ends, and error handlers end it as if it were
      // complete.
      if (http2StreamOf(res)) abortResponse(this.response);
      this.report(error);
      abortResponse(this.response);
      return;
    }
    this.resetForError();
    // Middleware mounted after us believes that this response was sent, so the error response bypasses it.
    const { writeHead, write, end, flushHeaders, on } = originals;
    let isHandedOver = false;
    const blank = summaryOf(res);
    // A program that did not call end may still write. A write belongs to it until the error handler has changed the
    // response.
    const isLeftover = () =>
      res.writableEnded || (isHandedOver && !this.isEnded && !res.headersSent && summaryOf(res) === blank);
    Object.assign(res, { writeHead, flushHeaders, on });
    res.write = (...args) => (isLeftover() ? false : write.apply(res, args));
    res.end = (...args) => (isLeftover() ? res : end.apply(res, args));
    this.report(error);
    isHandedOver = true;
  }

  private report(error: unknown): void {
    try {
      this.hooks.onFailure(error);
    } catch (failure) {
      logSessionError(failure);
      abortResponse(this.response);
    }
  }

  /** Resets the headers to those that were set before us (CORS, security, the request's id), and the status to 500. */
  private resetForError(): void {
    const { res, hooks, sources, initialHeaders = [] } = this;
    const { sendDate } = res;
    for (const name of res.getHeaderNames()) res.removeHeader(name);
    for (const [name, value] of initialHeaders) res.setHeader(name, value);
    hooks.beforeFailure?.();
    res.sendDate = sendDate;
    res.statusCode = 500;
    if (res.req.httpVersionMajor < 2) res.statusMessage = "";
    // An unpiped pipeline fails once this response is closed, and Express then destroys the connection.
    if (sources) res.shouldKeepAlive = false;
  }
}

function summaryOf(res: NodeResponse): string {
  return `${res.statusCode} ${res.listenerCount("unpipe")} ${res.getHeaderNames().join()}`;
}
