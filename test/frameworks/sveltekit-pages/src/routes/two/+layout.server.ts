import type { LayoutServerLoad } from "./$types.js";

export const load: LayoutServerLoad = async ({ locals: { session } }) => {
  await globalThis.sojournPages!.gate("layout");
  session.data.layout = true;
  session.update("count", (n = 0) => n + 1);
};
