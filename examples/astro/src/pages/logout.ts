import type { APIRoute } from "astro";
import { csrf } from "../sessions.js";

export const GET: APIRoute = ({ request, locals: { session }, redirect }) => {
  // No other site may log anybody out by a link.
  csrf.check(request, session, { everyMethod: true });
  session.pop("username");
  session.signOut();
  return redirect("/", 303);
};
