/** Refuses the session of one user where a response is made that Nitro keeps for all. */
export function refuseCached(): never {
  throw new TypeError(
    "A session was used on a route whose response Nitro keeps for everybody: leave `cache`, `swr` and `isr` out of its route rules, or use the session on a route beside it, which the page fetches",
  );
}
