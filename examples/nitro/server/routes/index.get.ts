import { defineHandler } from "nitro";
import { html } from "nitro/h3";

export default defineHandler((event) => {
  const { username } = event.context.session.data;
  if (username === undefined)
    return html`<h1>You are not logged in</h1>
      <a href="/login">Log in</a>`;
  return html`<h1>The login username is: ${username}</h1>
    <a href="/logout">Log out</a>`;
});
