import type { RequestHandler } from "./$types.js";

export const POST: RequestHandler = ({ locals: { session } }) => {
  session.signOut();
  return new Response(null, { status: 204 });
};
