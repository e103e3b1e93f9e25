"use client";

import { useActionState } from "react";
import { login } from "./actions";

export function LoginForm() {
  const [problem, submit] = useActionState(login, undefined);
  return (
    <form action={submit}>
      {problem && <p role="alert">{problem}</p>}
      <label>
        Username <input name="username" required autoFocus />
      </label>
      <button>Log in</button>
    </form>
  );
}
