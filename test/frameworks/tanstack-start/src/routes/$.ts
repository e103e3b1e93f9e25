import { createFileRoute, redirect } from "@tanstack/react-router";
import { caseOf } from "../cases.ts";

export const Route = createFileRoute("/$")({
  server: {
    handlers: {
      ANY: async ({ request, pathname, context: { session } }) => {
        const route = caseOf(request)?.routes.find(({ path }) => path === pathname);
        if (!route) return new Response("There is no such route", { status: 404 });
        const reply = await route.handle(session, {
          request,
          header: (name) => request.headers.get(name),
          text: () => request.text(),
        });
        if (reply.response) return reply.response;
        const headers = new Headers(reply.headers.map(([name, value]) => [name, value]));
        if (reply.redirect !== undefined) throw redirect({ href: reply.redirect, statusCode: 303, headers });
        const body = typeof reply.body === "string" ? reply.body || null : streamOf(reply.body);
        return new Response(body, { status: reply.status, headers });
      },
    },
  },
});

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
