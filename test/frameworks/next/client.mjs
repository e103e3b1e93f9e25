import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";

/** A browser without JavaScript, or a tab of it: it has a cookie jar and follows no redirect. */
export class Client {
  #origin;
  #jar;

  constructor(host, jar = new Map()) {
    this.#origin = `http://${host}`;
    this.#jar = jar;
  }

  get cookie() {
    return Array.from(this.#jar, ([name, value]) => `${name}=${value}`).join("; ");
  }

  twin() {
    return new Client(new URL(this.#origin).host, new Map(this.#jar));
  }

  async ask(path, { headers = {}, ...rest } = {}) {
    const cookie = this.cookie;
    const response = await fetch(this.#origin + path, {
      redirect: "manual",
      headers: { ...(cookie && { cookie }), origin: this.#origin, "accept-encoding": "identity", ...headers },
      ...rest,
    });
    for (const line of response.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(line);
      if (value === "" || /; Max-Age=0(;|$)/i.test(line)) this.#jar.delete(name);
      else this.#jar.set(name, value);
    }
    return response;
  }

  async get(path, headers) {
    const response = await this.ask(path, { headers });
    return { response, text: textOf(await response.text()) };
  }

  /** Sends a form of /forms, as a browser without JavaScript does. */
  async send(action, user = "ada") {
    const form = await this.#form(action);
    form.set("user", user);
    const response = await this.ask("/forms", { method: "POST", body: form });
    return { response, text: textOf(await response.text()) };
  }

  /** Calls the action of a form of /forms, as the script of Next.js does. */
  async call(action, user = "ada") {
    const form = await this.#form(action);
    const id = [...form.keys()].find((key) => key.startsWith("$ACTION_ID_")).slice("$ACTION_ID_".length);
    const headers = { "next-action": id, accept: "text/x-component", "content-type": "text/plain;charset=UTF-8" };
    const body = JSON.stringify([user]);
    const response = await this.ask("/forms", { method: "POST", body, headers });
    return { response, text: await response.text() };
  }

  async #form(action) {
    const page = await (await this.ask("/forms")).text();
    const [, fields] = new RegExp(`<form[^>]* id="${action}"[^>]*>(.*?)</form>`).exec(page) ?? [];
    assert.ok(fields, `there is no form ${action} in ${page}`);
    const form = new FormData();
    for (const [, name, value = ""] of fields.matchAll(/<input type="hidden" name="([^"]*)"(?: value="([^"]*)")?/g))
      form.set(name, unescaped(value));
    return form;
  }
}

const unescaped = (text) =>
  text
    .replaceAll("&quot;", '"')
    .replaceAll("&#x27;", "'")
    .replaceAll("&gt;", ">")
    .replaceAll("&lt;", "<")
    .replaceAll("&amp;", "&");

/** What a page shows. */
export const textOf = (html) => unescaped(html.replaceAll(/<script.*?<\/script>/gs, "").replaceAll(/<[^>]*>/g, " "));

/** Waits as long as something may take on a busy machine. */
export async function eventually(isThere) {
  for (let tries = 0; tries < 500; tries += 1) {
    if (await isThere()) return true;
    await delay(10);
  }
  return false;
}
