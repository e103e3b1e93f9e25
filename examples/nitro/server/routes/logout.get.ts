import { defineHandler } from "nitro";
import { redirect } from "nitro/h3";
import { csrf } from "../utils/sessions.ts";

export default defineHandler(async (event) => {
  const { session } = event.context;
  // The link of another site must log nobody out.
  csrf.check(event, session, { everyMethod: true });
  session.pop("username");
  session.signOut();
  return redirect("/", 303);
});
