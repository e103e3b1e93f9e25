import { redirect } from "@sveltejs/kit";
import type { Actions } from "./$types.js";

export const actions: Actions = {
  default: async ({ request, locals: { session } }) => {
    const text = (await request.formData()).get("text");
    await globalThis.sojournPages!.gate("action");
    session.data.action = String(text);
    session.update("count", (n = 0) => n + 1);
    redirect(303, "/data");
  },
};
