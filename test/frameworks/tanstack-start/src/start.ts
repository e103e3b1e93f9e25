import { createMiddleware, createStart } from "@tanstack/react-start";
import type { SessionContext } from "sojourn/tanstack-start";
import { caseOf } from "./cases.ts";

/** The middleware that a case has at this place, so that each one is called by Start itself. */
const slot = (place: number) =>
  createMiddleware().server((options) => {
    const mount = caseOf(options.request)?.mounts[place];
    return mount && options.pathname.startsWith(mount.path)
      ? mount.middleware(options)
      : options.next<SessionContext>();
  });

export const session = slot(0);

const requestMiddleware = [session, slot(1), slot(2)] as const;

export const startInstance = createStart(() => ({ requestMiddleware }));
