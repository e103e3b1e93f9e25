import { createFileRoute, redirect } from "@tanstack/react-router";

export const Route = createFileRoute("/login")({
  component: Login,
  server: {
    handlers: {
      // A plain form posts here, so that it works without JavaScript too.
      POST: async ({ request, context: { session } }) => {
        const form = await request.formData();
        const username = String(form.get("username") ?? "").trim();
        if (username === "" || username.length > 64)
          return new Response("Please enter a username of at most 64 characters.", { status: 400 });
        session.data.username = username;
        session.signIn(username);
        throw redirect({ href: "/", statusCode: 303 });
      },
    },
  },
});

function Login() {
  return (
    <>
      <h1>Log in</h1>
      <form method="post">
        <label>
          Username: <input name="username" required />
        </label>
        <button>Log in</button>
      </form>
    </>
  );
}
