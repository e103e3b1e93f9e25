import { defineAction } from "astro:actions";

export const server = {
  signIn: defineAction({
    accept: "form",
    async handler(form, { locals: { session } }) {
      await globalThis.sojournPages!.gate("action");
      session.data.action = String(form.get("text"));
      session.update("count", (n = 0) => n + 1);
      if (form.has("user")) session.signIn(String(form.get("user")));
      return { count: session.data.count };
    },
  }),
};
