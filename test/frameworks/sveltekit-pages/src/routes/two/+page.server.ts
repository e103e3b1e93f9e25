import type { PageServerLoad } from "./$types.js";

export const load: PageServerLoad = async ({ locals: { session } }) => {
  await globalThis.sojournPages!.gate("page");
  session.data.page = true;
  session.update("count", (n = 0) => n + 1);
};
