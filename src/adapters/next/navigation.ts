/** The parts of the text by which an error of Next.js says what was asked for: `redirect()`, `notFound()` and the like. */
function partsOf(error: unknown): readonly string[] {
  const { digest } = (error ?? {}) as { digest?: unknown };
  return typeof digest === "string" ? digest.split(";") : [];
}

const REDIRECT = "NEXT_REDIRECT";
const FALLBACK = "NEXT_HTTP_ERROR_FALLBACK";

/**
 * Runs a function that may call `redirect()` or `notFound()`, which throw. Gives what answers as the function did.
 *
 * @throws only the errors of a function that has failed.
 */
export async function afterNavigation<Result>(run: () => Promise<Result>): Promise<() => Result> {
  try {
    const result = await run();
    return () => result;
  } catch (error) {
    const [kind] = partsOf(error);
    if (kind !== REDIRECT && kind !== FALLBACK) throw error;
    return () => {
      throw error;
    };
  }
}

/**
 * The response that Next.js makes of a handler's `redirect()` or `notFound()`. Its own has no rules for caches, and after
 * `notFound()` no cookie. `undefined` for another error.
 */
export function navigationResponse(error: unknown, request: Request): Response | undefined {
  const [kind, ...rest] = partsOf(error);
  if (kind === FALLBACK) return new Response(null, { status: Number(rest[0]) });
  if (kind !== REDIRECT) return undefined;
  // The URL may have semicolons.
  const location = rest.slice(1, -2).join(";");
  return new Response(null, { status: isForm(request) ? 303 : Number(rest.at(-2)), headers: { location } });
}

/** The browser would send a form once more, to the page that it is redirected to. */
function isForm({ method, headers }: Request): boolean {
  const type = headers.get("content-type") ?? "";
  return method === "POST" && /^(?:multipart\/form-data|application\/x-www-form-urlencoded)/i.test(type);
}
