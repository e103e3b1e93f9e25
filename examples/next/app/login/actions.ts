"use server";

import { redirect } from "next/navigation";
import { action } from "../../lib/session";

export const login = action(async (session, _problem: string | undefined, form: FormData) => {
  const username = String(form.get("username") ?? "").trim();
  if (username === "" || username.length > 64) return "Please enter a username of at most 64 characters.";
  session.data.username = username;
  session.signIn(username);
  redirect("/");
});
