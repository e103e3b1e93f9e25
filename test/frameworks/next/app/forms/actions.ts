"use server";

import { cookies } from "next/headers";
import { notFound, redirect } from "next/navigation";
import { after } from "next/server";
import { action, getSession } from "../../lib/session";
import { suite } from "../../lib/suite";

/** A form sends it, or a script. */
const nameOf = (user: FormData | string) => (typeof user === "string" ? user : String(user.get("user")));

export const signIn = action(async (session, user: FormData | string) => {
  session.signIn(nameOf(user));
});

export const signInAndRedirect = action(async (session, user: FormData | string) => {
  session.signIn(nameOf(user));
  redirect("/shown");
});

export const signInAndNotFound = action(async (session, user: FormData | string) => {
  session.signIn(nameOf(user));
  notFound();
});

export const count = action(async (session) => {
  session.update("count", (n = 0) => n + 1);
});

export const slow = action(async (session) => {
  await suite().gate("slow action");
  session.data.first = "slow";
  redirect("/shown");
});

export const second = action(async (session) => {
  session.data.second = "quick";
});

export const fail = action(async (session) => {
  session.data.first = "never";
  throw new Error("planned error of an action");
});

const inner = action(async (session) => {
  session.data.second = "inner";
});

export const nested = action(async (session) => {
  session.data.first = "outer";
  await inner();
  suite().tell("nested", (await getSession()).data.second);
});

export async function twoInOne() {
  await getSession();
  await count();
  await inner();
}

export async function unwrapped() {
  const session = await getSession();
  try {
    (session.data as { count?: number }).count = 1;
  } catch (error) {
    suite().tell("unwrapped", (error as Error).message);
  }
}

export const flash = action(async (session) => {
  session.flash("info", "saved");
  redirect("/messages");
});

export const later = action(async (session) => {
  (await cookies()).set("theme", "dark");
  session.data.first = "before";
  after(async () => {
    suite().tell("after", (await getSession()).data.first);
    session.data.second = "too late";
  });
});
