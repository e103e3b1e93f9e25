import type { RequestHandler } from "./$types.js";

export const GET: RequestHandler = ({ locals: { session } }) =>
  Response.json({ userId: session.userId ?? null, data: session.data });

export const POST: RequestHandler = async ({ request, locals: { session } }) => {
  session.data.tab = await request.text();
  return new Response(null, { status: 204 });
};
