import { createFileRoute, redirect } from "@tanstack/react-router";
import { csrf } from "../sessions.ts";

export const Route = createFileRoute("/logout")({
  server: {
    handlers: {
      GET: ({ request, context: { session } }) => {
        // A link or an image of another site may not log anybody out.
        csrf.check(request, session, { everyMethod: true });
        session.pop("username");
        session.signOut();
        throw redirect({ href: "/", statusCode: 303 });
      },
    },
  },
});
