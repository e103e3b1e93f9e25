import type { RequestHandler } from "./$types.js";

export const POST: RequestHandler = async ({ locals: { session } }) => {
  await new Promise((resolve) => setImmediate(resolve));
  session.update("count", (n = 0) => n + 1);
  return new Response(null, { status: 204 });
};

export const PUT: RequestHandler = ({ locals: { session } }) => {
  session.signIn("ada");
  return new Response(session.userId);
};
