import { createFileRoute } from "@tanstack/react-router";
import { act } from "../functions.ts";

/** Calls a server function from a route of the server, with the redirects and errors that it throws. */
export const Route = createFileRoute("/own/acting")({
  server: {
    handlers: {
      POST: async ({ request }) => Response.json(await act({ data: await request.text() })),
      // Where the browser calls the function.
      GET: () => new Response(act.url),
    },
  },
});
