import Link from "next/link";
import { getSession } from "../lib/session";

export default async function HomePage() {
  const { username } = (await getSession()).data;
  if (username === undefined) {
    return (
      <>
        <h1>You are not logged in</h1>
        <Link href="/login">Log in</Link>
      </>
    );
  }
  return (
    <>
      <h1>{`The login username is: ${username}`}</h1>
      {/* No Link: Next.js fetches the pages of those before they are clicked. */}
      <a href="/logout">Log out</a>
    </>
  );
}
