import { defineHandler } from "nitro";
import { html } from "nitro/h3";

export default defineHandler(
  () => html`<form method="post">Name: <input name="username" required /><button>Log in</button></form>`,
);
