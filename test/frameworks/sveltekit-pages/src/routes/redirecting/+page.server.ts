import { redirect } from "@sveltejs/kit";
import type { PageServerLoad } from "./$types.js";

export const load: PageServerLoad = ({ locals: { session } }) => {
  session.update("count", (n = 0) => n + 1);
  redirect(307, "/data");
};
