import { redirect } from "react-router";
import { sessionContext } from "sojourn/react-router";
import { csrf } from "../sessions.server.ts";
import type { Route } from "./+types/logout";

export function loader({ request, context }: Route.LoaderArgs) {
  const session = context.get(sessionContext);
  // A link or an image of another site may not log anybody out.
  csrf.check(request, session, { everyMethod: true });
  session.pop("username");
  session.signOut();
  return redirect("/", 303);
}
