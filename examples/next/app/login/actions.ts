"use server";

import { redirect } from "next/navigation";
import { action } from "../../lib/session";

export const login = action(async (session, _problem: string | undefined, form: FormData) => {
  const username = String(form.get("username") ?? "").trim();
  if (username === "") return "Please enter a username.";
  session.data.username = username;
  session.signIn(username);
  redirect("/");
});
