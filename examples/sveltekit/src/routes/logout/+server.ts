import { redirect } from "@sveltejs/kit";
import { csrf } from "../../lib/server/sessions.js";
import type { RequestHandler } from "./$types.js";

export const GET: RequestHandler = ({ request, locals: { session } }) => {
  // No other site may log anybody out by a link.
  csrf.check(request, session, { everyMethod: true });
  session.pop("username");
  session.signOut();
  redirect(303, "/");
};
