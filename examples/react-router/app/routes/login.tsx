import { data, Form, redirect } from "react-router";
import { sessionContext } from "sojourn/react-router";
import type { Route } from "./+types/login";

export async function action({ request, context }: Route.ActionArgs) {
  const form = await request.formData();
  const username = String(form.get("username") ?? "").trim();
  if (username === "" || username.length > 64)
    return data({ problem: "Please enter a username of at most 64 characters." }, { status: 400 });
  const session = context.get(sessionContext);
  session.data.username = username;
  session.signIn(username);
  return redirect("/", 303);
}

export default function Login({ actionData }: Route.ComponentProps) {
  return (
    <>
      <h1>Log in</h1>
      {actionData && <p role="alert">{actionData.problem}</p>}
      <Form method="post">
        <label>
          Username: <input name="username" required />
        </label>
        <button>Log in</button>
      </Form>
    </>
  );
}
