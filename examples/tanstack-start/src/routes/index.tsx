import { createFileRoute, Link } from "@tanstack/react-router";
import { createServerFn } from "@tanstack/react-start";

const getUsername = createServerFn().handler(({ context }) => context.session.data.username);

export const Route = createFileRoute("/")({
  loader: async () => ({ username: await getUsername() }),
  component: Home,
});

function Home() {
  const { username } = Route.useLoaderData();
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
