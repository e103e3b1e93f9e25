import { csrf, route } from "../../lib/session";

export const GET = route((request, session) => {
  // No other site may log anybody out by a link, although its method is a safe one.
  csrf.check(request, session, { everyMethod: true });
  session.pop("username");
  session.signOut();
  return new Response(null, { status: 303, headers: { Location: "/" } });
});
