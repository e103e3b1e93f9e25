import { Link } from "react-router";
import { sessionContext } from "sojourn/react-router";
import type { Route } from "./+types/home";

export function loader({ context }: Route.LoaderArgs) {
  return { username: context.get(sessionContext).data.username };
}

export default function Home({ loaderData: { username } }: Route.ComponentProps) {
  if (username === undefined) {
    return (
      <>
        <h1>You are not logged in</h1>
        <Link to="/login">Log in</Link>
      </>
    );
  }
  return (
    <>
      <h1>The login username is: {username}</h1>
      {/* Not a Link: /logout has no page to show, and nothing may fetch it before the user does. */}
      <a href="/logout">Log out</a>
    </>
  );
}
