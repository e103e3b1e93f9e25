import type { NextRequest } from "next/server";
import { nextSessions } from "sojourn/next";
import { handle, suite } from "./suite";

declare module "sojourn" {
  interface SessionData {
    count?: number;
    cart?: { items: string[] };
    seen?: Map<string, { at: Date }>;
    tags?: Set<string>;
    first?: string;
    second?: string;
  }
}

export const { getSession, readSession, takeFlashes, action, route, getSessions } = nextSessions(() =>
  suite().createSessions(),
);

/** Compiled, and never called: the types refuse what would fail. */
export async function typed() {
  const session = await getSession();
  // @ts-expect-error -- a component can't change the session
  session.data.count = 1;
  // @ts-expect-error -- nor what is in it
  session.data.cart?.items.push("milk");
  // @ts-expect-error -- nor sign in
  session.signIn("ada");
  // @ts-expect-error -- there is no such key
  String(session.data.cuont);
  return [
    route((request, current) =>
      Response.json([request.url, current.data.count, handle(current, undefined as never, request)]),
    ),
    route((request: NextRequest, current, { params }: { params: Promise<{ id: string }> }) =>
      Response.json([request.nextUrl.href, current.userId, params]),
    ),
    action((current, left: number, right: number) => (current.data.count = left + right)) satisfies (
      left: number,
      right: number,
    ) => Promise<number>,
    // @ts-expect-error -- there is no such key
    action((current) => void (current.data.cuont = 1)),
  ];
}
