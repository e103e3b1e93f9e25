import type { Context } from "../context.ts";
import { signToken, TOKEN_LENGTH, verifyToken } from "../record/token.ts";
import { TOKEN_HEADER } from "./bearer.ts";
import type { TokenWriter } from "./outgoing-cookie.ts";
import { presentedIn, type Presented } from "./presented-tokens.ts";
import type { RequestSession } from "./request-session.ts";
import { innermost, requestHeader, type AnyRequest } from "./request.ts";

/** The header Authorization, if its scheme is Bearer, in any case of letters (RFC 9110, section 11.1). */
export function bearerHeader(request: AnyRequest): string | undefined {
  const header = requestHeader(request, "authorization");
  return header !== undefined && /^bearer(?:[ \t]|$)/i.test(header) ? header : undefined;
}

/** Whether a request has a cookie that is authentic. Others are no session's, and must not cause an error. */
export function hasCookie({ context, request }: RequestSession): boolean {
  const header = request.cookieHeader;
  return header !== undefined && presentedIn(context, header, request.isSecure) !== undefined;
}

const CREDENTIALS = new RegExp(`^bearer +([\\w-]{${TOKEN_LENGTH}})$`, "i");

/**
 * Tokens of cookies and of the header are signed in another form, so that a stolen cookie is worth nothing where no check for
 * CSRF and no rule of the browser protects it, and a stolen token nothing in a browser.
 */
const FORMAT = "b";

/** The token in a header, if one of the keys has signed it. */
export function presentedBy({ keyring }: Context, request: AnyRequest, header: string): Presented[] | undefined {
  const [, value] = CREDENTIALS.exec(header) ?? [];
  const found = value === undefined || isRepeated(request) ? undefined : verifyToken(keyring, value, FORMAT);
  return found && [found];
}

/** Whether the header came more than once. node:http keeps the first one, and a proxy may go by the last. */
function isRepeated(request: AnyRequest): boolean {
  const { rawHeaders } = innermost(request) as { readonly rawHeaders?: readonly string[] };
  const isName = (text: string, i: number) => i % 2 === 0 && text.toLowerCase() === "authorization";
  return rawHeaders !== undefined && rawHeaders.filter(isName).length > 1;
}

/** Writes the token to the header, for a native client. */
export const tokenInHeader: TokenWriter = {
  issue: ({ keyring }, token) => [signToken(keyring, token, FORMAT)],

  /** The client has asked to be signed out, and needs no word for it. */
  clear: () => [],

  writeHeader(headers, [token], isRenewal) {
    if (token === undefined) return;
    // A client's cache would copy it to the response that it keeps (RFC 9111, section 3.2). Without any other new token the
    // client would be signed out.
    if (isRenewal && headers.status === 304) return;
    headers.set(TOKEN_HEADER, token);
    headers.set("Cache-Control", "no-store");
  },
};
