import { EventEmitter } from "node:events";
import type { ServerResponse } from "node:http";
import type { Readable } from "node:stream";
import {
  checkHead,
  copy,
  freeze,
  guardStream,
  mergeHeaders,
  refuse,
  type Frozen,
  type Head,
  type Listener,
  type Methods,
  type Response,
} from "./hold-head.ts";
import { cut, streamOf } from "./cut.ts";

/** What {@link holdResponse} asks about one response. */
export interface Gate {
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
  beforeHead(res: ServerResponse): Promise<(() => void) | void> | undefined;
  /**
   * Asked once, synchronously, when the response ends by another call than the one that sent its head: a last look for
   * changes that came too late to be stored. An error keeps the response from looking complete.
   */
  beforeEnd?(): Error | undefined;
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
 * Lets no byte of a response leave before `gate` agrees, and gets out of the way as soon as it has.
 *
 * While the response is held it looks sent to the program (`headersSent`, `writableEnded`), and `write` returns false.
 */
export function holdResponse(res: ServerResponse, gate: Gate): void {
  new Hold(res, gate).install();
}

class Hold {
  private state: "open" | "held" | "passed" | "failed" = "open";
  private readonly gate: Gate;
  /** One object, seen in two ways. */
  private readonly response: ServerResponse;
  private readonly res: Response;
  /** What was on the response before us: Node's own methods, or those of middleware mounted before us. */
  private readonly inner: Methods;
  /** What we put there. Middleware mounted after us keeps these and may call them at any time. */
  private readonly ours: Omit<Methods, "on">;
  private readonly namesBefore: string[];
  private readonly valuesBefore: unknown[] = [];
  private sources: Readable[] | undefined;
  private drainListeners: Listener[] | undefined;
  private calls: (() => unknown)[] = [];
  private announcing = false;
  private stalled = false;
  private full = false;
  private ended = false;
  private status = 200;
  /** As they were when the head was decided: what is set later belongs to no response. */
  private decided: Partial<Pick<Response, "sendDate" | "statusMessage">> = {};
  private late: unknown;
  private frozen: Frozen | undefined;
  private unguardStream: (() => void) | undefined;

  constructor(res: ServerResponse, gate: Gate) {
    this.gate = gate;
    this.response = res;
    this.res = res;
    const { writeHead, write, end, flushHeaders, on } = this.res;
    this.inner = { writeHead, write, end, flushHeaders, on };
    this.ours = {
      writeHead: (...head) => this.writeHead(head),
      write: (...args) => this.write(args),
      end: (...args) => this.end(args),
      flushHeaders: () => this.flushHeaders(),
    };
    this.namesBefore = res.getHeaderNames();
  }

  install(): void {
    const { res, inner, ours } = this;
    res.writeHead = ours.writeHead;
    res.write = ours.write;
    res.end = ours.end;
    res.flushHeaders = ours.flushHeaders;
    this.unguardStream = guardStream(res);
    for (const name of this.namesBefore) this.valuesBefore.push(copy(res.getHeader(name)));
    this.response.on("pipe", (source) => (this.sources ??= []).push(source));
    // compression, mounted before us, sends listeners for 'drain' elsewhere, where res.emit would not reach them.
    if (inner.on !== EventEmitter.prototype.on) {
      const listeners: Listener[] = (this.drainListeners = []);
      res.on = (event, listener) => {
        if (event === "drain" && (this.state === "open" || this.state === "held")) listeners.push(listener);
        return inner.on.call(res, event, listener);
      };
    }
  }

  private writeHead(args: Head): unknown {
    const { res, inner } = this;
    if (this.state === "open") {
      const status = checkHead(res, args);
      res.statusCode = status;
      if (typeof args[1] === "string" && !streamOf(res)) res.statusMessage = args[1];
      const head: Head = args.length > 1 ? mergeHeaders(res, args) : [status];
      const state = this.ask();
      if (this.announcing) return res;
      if (state === "passed") return inner.writeHead.apply(res, head);
      this.calls.push(() => inner.writeHead.apply(res, head));
    } else if (this.state === "passed") {
      return inner.writeHead.apply(res, args);
    } else if (this.state === "held" && (args.length > 1 || args[0] !== this.status)) {
      // The same head again without headers is fine: some look at res._header to learn whether it was sent.
      refuse();
    }
    return res;
  }

  private write(args: unknown[]): unknown {
    const { res, inner } = this;
    const state = this.state === "open" ? this.announce() : this.state;
    if (state === "passed") return inner.write.apply(res, args);
    // Failed: what a compressor mounted after us still has in hand. Let it run dry.
    if (state === "failed") return true;
    this.calls.push(() => (this.full = inner.write.apply(res, args) === false));
    this.stalled = true;
    return false;
  }

  private end(args: unknown[]): unknown {
    const { res, inner } = this;
    const wasOpen = this.state === "open";
    const state = wasOpen ? this.announce() : this.state;
    if (!wasOpen && !this.ended && state !== "failed") this.late = lastLook(this.gate);
    this.ended = true;
    if (state === "held") {
      this.frozen?.end();
      this.calls.push(() => inner.end.apply(res, args));
    }
    if (state !== "passed") return res;
    if (this.late === undefined) return inner.end.apply(res, args);
    this.fail(this.late);
    return res;
  }

  private flushHeaders(): void {
    const { res, inner } = this;
    const state = this.state === "open" ? this.announce() : this.state;
    if (state === "passed") inner.flushHeaders.call(res);
    if (state === "held") this.calls.push(() => inner.flushHeaders.call(res));
  }

  /** The head is about to be sent without a call of writeHead: those who listen for one, mounted after us, go first. */
  private announce(): Hold["state"] {
    const { res, ours } = this;
    if (res.writeHead !== ours.writeHead) {
      this.announcing = true;
      try {
        res.writeHead(res.statusCode);
      } finally {
        this.announcing = false;
      }
    }
    if (this.state !== "open") return this.state;
    checkHead(res, [res.statusCode]);
    return this.ask();
  }

  private ask(): Hold["state"] {
    const { res, gate } = this;
    let stored: Promise<(() => void) | void> | undefined;
    try {
      stored = gate.beforeHead(this.response);
    } catch (error) {
      stored = Promise.reject(error);
    }
    if (stored === undefined) {
      this.state = "passed";
      this.stepAside();
    } else {
      this.state = "held";
      this.status = res.statusCode;
      const { sendDate } = res;
      this.decided = streamOf(res) ? { sendDate } : { sendDate, statusMessage: res.statusMessage };
      this.frozen = freeze(res);
      void stored.then(
        (setHeaders) => this.release(setHeaders),
        (error: unknown) => this.fail(error),
      );
    }
    return this.state;
  }

  /** Puts back what was there. Assigned, since deleting a property makes V8 treat the whole object as a dictionary. */
  private stepAside(): void {
    const { res, inner, ours } = this;
    this.unguardStream?.();
    // Whoever listens for the head has heard of it.
    res.writeHead = inner.writeHead;
    if (res.write === ours.write) res.write = inner.write;
    if (res.flushHeaders === ours.flushHeaders) res.flushHeaders = inner.flushHeaders;
    if (res.end === ours.end && !this.gate.beforeEnd) res.end = inner.end;
  }

  private release(setHeaders: (() => void) | void): void {
    const { res, calls } = this;
    if (this.late !== undefined) {
      this.fail(this.late);
      return;
    }
    this.frozen?.thaw();
    this.frozen = undefined;
    this.calls = [];
    this.state = "passed";
    this.stepAside();
    // Over HTTP/1.1 Node ignores what is written to a response that is closed; over HTTP/2 it throws.
    if (streamOf(res)?.closed) return;
    try {
      res.statusCode = this.status;
      Object.assign(res, this.decided);
      setHeaders?.();
      for (const call of calls) call();
    } catch (error) {
      this.fail(error);
      return;
    }
    // We said false to somebody. Where the socket says so too, its own 'drain' will come.
    if (!this.stalled || this.full || this.ended || res.destroyed) return;
    if (this.drainListeners) for (const listener of this.drainListeners.splice(0)) listener.call(res);
    else res.emit("drain");
  }

  private fail(error: unknown): void {
    const { res, inner, gate } = this;
    this.frozen?.thaw();
    this.unguardStream?.();
    this.calls = [];
    this.state = "failed";
    for (const source of this.sources ?? []) source.unpipe?.(this.response);
    if (res.headersSent) {
      // The first to end an HTTP/2 stream decides how it ends, and error handlers destroy it as if it were complete.
      if (streamOf(res)) cut(this.response);
      try {
        gate.onFailure(error);
      } finally {
        cut(this.response);
      }
      return;
    }
    this.clean();
    // Those mounted after us believe that this response is under way, so the error response passes them by.
    const { writeHead, write, end, flushHeaders, on } = inner;
    let taken = false;
    const blank = look(res);
    // A program that had not ended may go on writing. What comes before the error path has touched the response is its.
    const isLeftover = () => res.writableEnded || (taken && !this.ended && !res.headersSent && look(res) === blank);
    Object.assign(res, { writeHead, flushHeaders, on });
    res.write = (...args) => (isLeftover() ? false : write.apply(res, args));
    res.end = (...args) => (isLeftover() ? res : end.apply(res, args));
    gate.onFailure(error);
    taken = true;
  }

  /** Leaves the headers that were there before us (CORS, security, the request's id) and a status that is no success. */
  private clean(): void {
    const { res, gate, sources, namesBefore, valuesBefore } = this;
    const { sendDate } = res;
    for (const name of res.getHeaderNames()) res.removeHeader(name);
    namesBefore.forEach((name, i) => res.setHeader(name, valuesBefore[i]));
    gate.beforeFailure?.();
    res.sendDate = sendDate;
    res.statusCode = 500;
    if (res.req.httpVersionMajor < 2) res.statusMessage = "";
    // A pipeline that was cut fails once this response is closed, and Express then destroys the connection.
    if (sources) res.shouldKeepAlive = false;
  }
}

/** A mistake in the last look is as good as what it looks for. */
function lastLook(gate: Gate): unknown {
  try {
    return gate.beforeEnd?.();
  } catch (error) {
    return error ?? new Error("The gate failed.");
  }
}

function look(res: Response): string {
  return `${res.statusCode} ${res.listenerCount("unpipe")} ${res.getHeaderNames().join()}`;
}
