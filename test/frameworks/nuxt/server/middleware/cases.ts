import { Readable } from "node:stream";
import { applications } from "../utils/applications";

// A route for every path would stand behind Nuxt's own, which is its pages.
export default defineEventHandler(async (event) => {
  const { path } = event;
  const route = applications.get(event.node.req.socket.localPort!)?.find((one) => one.path === path);
  if (!route) return;
  const { status, headers, redirect, body, response } = await route.handle(event.context.session, {
    request: event,
    header: (name) => getRequestHeader(event, name),
    text: async () => (await readRawBody(event)) ?? "",
  });
  if (response) return response;
  for (const [name, value] of headers) appendResponseHeader(event, name, value);
  if (redirect !== undefined) return sendRedirect(event, redirect, 303);
  setResponseStatus(event, status);
  if (body === "") return send(event);
  return typeof body === "string" ? body : sendStream(event, Readable.from(body));
});
