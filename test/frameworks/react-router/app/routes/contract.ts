import { redirect } from "react-router";
import { sessionContext } from "sojourn/react-router";
import type { Route } from "./+types/contract";
import { caseOf } from "../cases.ts";

async function answer({ request, url, context }: Route.LoaderArgs | Route.ActionArgs): Promise<Response> {
  const route = caseOf(request).routes.find(({ path }) => path === url.pathname);
  if (!route) throw new Response("There is no such route", { status: 404 });
  const reply = await route.handle(context.get(sessionContext), {
    request,
    header: (name) => request.headers.get(name),
    text: () => request.text(),
  });
  if (reply.response) return reply.response;
  const headers = new Headers(reply.headers.map(([name, value]) => [name, value]));
  if (reply.redirect !== undefined) return redirect(reply.redirect, { status: 303, headers });
  const body = typeof reply.body === "string" ? reply.body || null : streamOf(reply.body);
  return new Response(body, { status: reply.status, headers });
}

export const loader = answer;
export const action = answer;

const encoder = new TextEncoder();

function streamOf(chunks: AsyncIterable<string>): ReadableStream {
  const iterator = chunks[Symbol.asyncIterator]();
  return new ReadableStream({
    async pull(controller) {
      const { done, value } = await iterator.next();
      if (done) controller.close();
      else controller.enqueue(encoder.encode(value));
    },
    async cancel() {
      await iterator.return?.();
    },
  });
}
