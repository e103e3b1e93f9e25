import { notFound, permanentRedirect, redirect } from "next/navigation";
import { route } from "../../lib/session";

export const GET = route((request, session) => {
  const way = new URL(request.url).searchParams.get("way");
  session.data.first = String(way);
  if (way === "redirect") redirect("/shown?a=1;b=2");
  if (way === "permanent") permanentRedirect("/shown");
  if (way === "notFound") notFound();
  return new Response("other");
});

export const POST = route((_request, session) => {
  session.update("count", (n = 0) => n + 1);
  redirect("/shown");
});
