import { type NextRequest, NextResponse } from "next/server";
import { getSessions } from "./lib/session";

export function proxy(request: NextRequest) {
  if (!getSessions().carries(request)) return NextResponse.redirect(new URL("/shown?sign-in", request.url));
}

export const config = { matcher: "/account" };
