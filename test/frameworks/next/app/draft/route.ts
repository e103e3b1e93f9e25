import { cookies, draftMode } from "next/headers";
import { getSession, route } from "../../lib/session";

export const GET = route(async (_request, session) => {
  (await draftMode()).enable();
  (await cookies()).set("theme", "dark");
  session.data.first = "draft";
  return new Response(`${(await getSession()).data.first}`);
});
