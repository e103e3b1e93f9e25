// The least that a session can cost: an opaque id with an HMAC in a cookie, JSON in a Map. It encrypts nothing, knows no
// timeout, loses updates. What Sojourn costs above it is the price of its guarantees.
import { createHmac, createSecretKey, randomBytes, timingSafeEqual } from "node:crypto";
import { plain, signedIn } from "./actions.mjs";
import { SECRET } from "./clients.mjs";
import { onNodeHttp } from "./frameworks.mjs";

const ID_LENGTH = 22;
const NAME = "session=";

export function hmacFloor() {
  const key = createSecretKey(Buffer.from(SECRET));
  const sessions = new Map();
  const sign = (id) => createHmac("sha256", key).update(id).digest("base64url");

  function idOf(cookie) {
    if (!cookie?.startsWith(NAME)) return undefined;
    const id = cookie.slice(NAME.length, NAME.length + ID_LENGTH);
    const signature = Buffer.from(cookie.slice(NAME.length + ID_LENGTH + 1));
    const expected = Buffer.from(sign(id));
    return signature.length === expected.length && timingSafeEqual(signature, expected) ? id : undefined;
  }

  function open(c) {
    const id = idOf(c.req.headers.cookie);
    const text = id === undefined ? undefined : sessions.get(id);
    c.id = text === undefined ? undefined : id;
    return (c.data = text === undefined ? {} : JSON.parse(text));
  }

  function save(c) {
    if (c.id === undefined) {
      c.id = randomBytes(16).toString("base64url");
      c.res.setHeader("set-cookie", `${NAME}${c.id}.${sign(c.id)}; Path=/; HttpOnly; SameSite=Lax`);
    }
    sessions.set(c.id, JSON.stringify(c.data));
  }

  const actions = plain({
    data: (c) => c.data ?? open(c),
    signIn(c) {
      Object.assign((c.data = {}), signedIn());
      save(c);
      return "ok";
    },
    signOut(c) {
      sessions.delete(idOf(c.req.headers.cookie));
      return "ok";
    },
  });
  const saving = Object.fromEntries(
    ["write", "seed", "redirect"].map((name) => [
      name,
      (c, query) => {
        actions[name](c, query);
        save(c);
        return "ok";
      },
    ]),
  );
  return onNodeHttp({ contextOf: (req, res) => ({ req, res }), actions: { ...actions, ...saving } });
}
