import type { APIRoute } from "astro";
import { applicationOf } from "../suite.js";

export const ALL: APIRoute = async ({ request, url, locals, redirect }) => {
  const route = applicationOf(request)!.routes.find(({ path }) => path === url.pathname);
  if (!route) return new Response(null, { status: 404 });
  const reply = await route.handle(locals.session, {
    request,
    header: (name) => request.headers.get(name),
    text: () => request.text(),
  });
  if (reply.response) return reply.response;
  if (reply.redirect !== undefined) return redirect(reply.redirect, 303);
  const headers = new Headers();
  for (const [name, value] of reply.headers) headers.append(name, value);
  const body = typeof reply.body === "string" ? reply.body || null : streamOf(reply.body);
  return new Response(body, { status: reply.status, headers });
};

function streamOf(chunks: AsyncIterable<string>): ReadableStream {
  const iterator = chunks[Symbol.asyncIterator]();
  return new ReadableStream({
    async pull(controller) {
      const { done, value } = await iterator.next();
      if (done) controller.close();
      else controller.enqueue(new TextEncoder().encode(value));
    },
  });
}
