import { defineHandler } from "nitro";
import { HTTPError, iterable, redirect as redirectTo } from "nitro/h3";
import { applicationOf } from "../utils/applications.ts";

export default defineHandler(async (event) => {
  const route = applicationOf(event)?.routes.find(({ path }) => path === event.url.pathname);
  if (!route) throw new HTTPError({ status: 404 });
  const { status, headers, redirect, body, response } = await route.handle(event.context.session, {
    request: event,
    header: (name) => event.req.headers.get(name),
    text: () => event.req.text(),
  });
  if (response) return response;
  for (const [name, value] of headers) event.res.headers.append(name, value);
  if (redirect !== undefined) return redirectTo(redirect, 303);
  event.res.status = status;
  return typeof body === "string" ? body : iterable(body);
});
