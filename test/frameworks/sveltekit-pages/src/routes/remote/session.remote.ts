import { form, getRequestEvent, query } from "$app/server";

export const signIn = form("unchecked", () => {
  const { session } = getRequestEvent().locals;
  session.data.action = "remote";
  session.signIn("ada");
});

export const userOf = query(() => getRequestEvent().locals.session.userId ?? "nobody");
