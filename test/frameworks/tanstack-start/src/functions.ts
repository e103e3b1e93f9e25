import { notFound, redirect } from "@tanstack/react-router";
import { createServerFn } from "@tanstack/react-start";
import { getRequest, setResponseHeader, setResponseStatus } from "@tanstack/react-start/server";
import { caseOf } from "./cases.ts";
import { signedIn } from "./signed-in.ts";

export const callFunction = createServerFn()
  .validator((name: string) => name)
  .handler(async ({ data, context }) => {
    const request = getRequest();
    return String(await caseOf(request)?.functions?.[data]?.(context.session, request));
  });

/** Does what the case wishes by Start's own means. */
export const act = createServerFn({ method: "POST" })
  .validator((wish: string) => wish)
  .handler(async ({ data: wish, context }) => {
    const request = getRequest();
    setResponseHeader("Cache-Control", "public, max-age=600");
    setResponseHeader("Vary", "Accept");
    setResponseHeader("ETag", '"a-success"');
    if (wish === "return") setResponseStatus(201);
    await caseOf(request)?.functions?.["act"]?.(context.session, request);
    if (wish === "redirect") throw redirect({ to: "/own/page" });
    if (wish === "notFound") throw notFound();
    if (wish === "throw") throw new Error("planned error of a server function");
    return { done: wish };
  });

export const whoAmI = createServerFn()
  .middleware([signedIn])
  .handler(({ context }) => context.userId);
