import { notFound, redirect } from "@tanstack/react-router";
import { createServerFn } from "@tanstack/react-start";
import { getRequest, setResponseHeader } from "@tanstack/react-start/server";
import { caseOf } from "./cases.ts";

export const callFunction = createServerFn()
  .validator((name: string) => name)
  .handler(async ({ data, context }) => {
    const request = getRequest();
    return String(await caseOf(request)?.functions?.[data]?.(context.session, request));
  });

export const callLater = createServerFn().handler(async ({ context }) => {
  const request = getRequest();
  return String(await caseOf(request)?.functions?.["later"]?.(context.session, request));
});

/** What a server function does by Start's own means. */
export const act = createServerFn({ method: "POST" }).handler(async ({ context }) => {
  const request = getRequest();
  const wish = await caseOf(request)?.functions?.["act"]?.(context.session, request);
  if (wish === "redirect") throw redirect({ to: "/page" });
  if (wish === "notFound") throw notFound();
  if (wish === "cache") setResponseHeader("Cache-Control", "public, max-age=600");
  return "done";
});

export const functionUrls = createServerFn().handler(() => ({ act: act.url }));
