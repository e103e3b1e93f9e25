import type { APIRoute } from "astro";

export const GET: APIRoute = ({ locals: { session } }) =>
  Response.json({ userId: session.userId ?? null, data: session.data });

export const POST: APIRoute = async ({ request, locals: { session } }) => {
  session.data.tab = await request.text();
  return new Response(null, { status: 204 });
};

export const DELETE: APIRoute = ({ locals: { session } }) => {
  session.signOut();
  return new Response(null, { status: 204 });
};
