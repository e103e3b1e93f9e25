import { redirect } from "@tanstack/react-router";
import { createMiddleware } from "@tanstack/react-start";
import { session } from "./start.ts";

export const signedIn = createMiddleware()
  .middleware([session])
  .server(({ next, context }) => {
    const { userId } = context.session;
    if (userId === undefined) throw redirect({ href: "/login" });
    return next({ context: { userId } });
  });
