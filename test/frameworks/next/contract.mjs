import { nextSessions } from "sojourn/next";

/** The route handler of one case of the contract: route(fn), once for each use of the adapter, the outermost first. */
export function contractHandler({ mounts, routes }) {
  const uses = mounts.map(({ path, sessions, options }) => ({ path, app: nextSessions(sessions, options) }));
  const handlers = new Map(
    routes.map(({ path, handle }) => {
      const [innermost, ...around] = uses.filter((use) => path.startsWith(use.path)).toReversed();
      let handler = innermost.app.route((request, session) => respond(handle, request, session));
      for (const { app } of around) {
        const within = handler;
        handler = app.route((request, _session, context) => within(request, context));
      }
      return [path, handler];
    }),
  );
  return (request, context) => handlers.get(new URL(request.url).pathname)(request, context);
}

async function respond(handle, request, session) {
  const reply = await handle(session, {
    request,
    header: (name) => request.headers.get(name),
    text: () => request.text(),
  });
  if (reply.response) return reply.response;
  const headers = new Headers();
  for (const [name, value] of reply.headers) headers.append(name, value);
  if (reply.redirect !== undefined) {
    headers.set("location", reply.redirect);
    return new Response(null, { status: 303, headers });
  }
  const body = typeof reply.body === "string" ? reply.body || null : ReadableStream.from(encoded(reply.body));
  return new Response(body, { status: reply.status, headers });
}

async function* encoded(chunks) {
  const encoder = new TextEncoder();
  for await (const chunk of chunks) yield encoder.encode(chunk);
}
