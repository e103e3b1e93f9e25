import type { PageServerLoad } from "./$types.js";

export const load: PageServerLoad = async ({ fetch, locals: { session } }) => {
  const count = () => fetch("/api/count", { method: "POST" });
  await Promise.all(Array.from({ length: 200 }, count));
  await fetch("/api/count", { method: "PUT" });
  return { count: session.data.count, userId: session.userId };
};
