/** A request as the options see it. In components and actions, Next.js tells neither its method nor its path. */
export interface NextRequestInfo {
  /** The method. `GET` in components, `POST` in actions. */
  readonly method: string;
  /** The URL. In components and actions its path is another. */
  readonly url: string;
  /** The headers. */
  readonly headers: NextHeaders;
}

/** What is read of a request's headers. */
export interface NextHeaders {
  /** Returns the value of a header. */
  get(name: string): string | null;
}

/** The origin of a request, as Next.js itself finds it: its proxy, where there is one, says whether it was HTTPS. */
export function originOf(headers: NextHeaders): string {
  const scheme = headers.get("x-forwarded-proto")?.includes("https") ? "https" : "http";
  return `${scheme}://${headers.get("host") ?? "localhost"}`;
}

const ROUTER_PREFETCH = "next-router-prefetch";

/** Whether nobody has asked for the page yet: Next.js fetches it before its link is clicked, or the browser does. */
export function isPrefetch(headers: NextHeaders): boolean {
  const purpose = headers.get("sec-purpose") ?? headers.get("purpose") ?? "";
  if (/\b(?:prefetch|prerender)\b/i.test(purpose) || headers.get(ROUTER_PREFETCH) !== null) return true;
  // headers() hides this one from components. If it is not to be found below either, a prefetch counts as a visit.
  const hidden = (headers as { headers?: Readonly<Record<string, unknown>> }).headers;
  return typeof hidden === "object" && hidden[ROUTER_PREFETCH] !== undefined;
}
