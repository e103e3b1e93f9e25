import { defineHandler } from "nitro";
import { HTTPError, redirect } from "nitro/h3";

export default defineHandler(async (event) => {
  const { session } = event.context;
  const username = (await event.req.formData()).get("username")?.toString().trim() ?? "";
  if (username === "" || username.length > 64)
    throw new HTTPError("Please enter a username of at most 64 characters.", { status: 400 });
  session.data.username = username;
  session.signIn(username);
  return redirect("/", 303);
});
