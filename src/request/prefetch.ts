import { requestHeader, type AnyRequest } from "./request.ts";

/**
 * Whether a browser asks for a page that nobody has opened yet: a prefetch or a prerendering (`Sec-Purpose` of the Fetch
 * Standard), or what older browsers send for it.
 */
export function isPrefetch(request: AnyRequest): boolean {
  const purpose = requestHeader(request, "sec-purpose") ?? requestHeader(request, "purpose");
  if (purpose !== undefined) return /^\s*"?prefetch\b/i.test(purpose);
  return requestHeader(request, "x-moz")?.toLowerCase() === "prefetch";
}
