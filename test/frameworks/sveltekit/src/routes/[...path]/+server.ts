import { error, redirect } from "@sveltejs/kit";
import { applicationOf } from "../../suite.js";
import type { RequestHandler } from "./$types.js";

/** A handler for every method. */
export const fallback: RequestHandler = async ({ request, url, locals }) => {
  const route = applicationOf(request)!.routes.find(({ path }) => path === url.pathname);
  if (!route) error(404);
  const reply = await route.handle(locals.session, {
    request,
    header: (name) => request.headers.get(name),
    text: () => request.text(),
  });
  if (reply.response) return reply.response;
  if (reply.redirect !== undefined) redirect(303, reply.redirect);
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
