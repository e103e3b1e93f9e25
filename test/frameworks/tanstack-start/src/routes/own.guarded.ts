import { createFileRoute } from "@tanstack/react-router";
import { whoAmI } from "../functions.ts";

export const Route = createFileRoute("/own/guarded")({
  server: { handlers: { GET: async () => new Response(await whoAmI()) } },
});
