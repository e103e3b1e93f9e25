import { fail, redirect } from "@sveltejs/kit";
import type { Actions } from "./$types.js";

export const actions: Actions = {
  default: async ({ request, locals }) => {
    const field = (await request.formData()).get("username");
    const username = typeof field === "string" ? field.trim() : "";
    if (username === "" || username.length > 64)
      return fail(400, { problem: "Please enter a username of at most 64 characters." });
    locals.session.data.username = username;
    locals.session.signIn(username);
    redirect(303, "/");
  },
};
