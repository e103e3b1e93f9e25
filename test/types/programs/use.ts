// Everything that has a type of its own, on one session.
import type { Session, SignInOptions } from "sojourn";

/** Holds only for two types that are the same. */
export function isSame<A, B>(..._same: Same<A, B> extends true ? [] : [never]): void {}
// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- it is compared with itself
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;

export function use(session: Session): string {
  const { data } = session;
  isSame<typeof data.username, string | undefined>();
  data.cart?.items.push("tea");
  // @ts-expect-error -- there is no such key
  data.usernmae = "ada";
  // @ts-expect-error -- there is no such key, and none is any
  data["usernmae"] = "ada";
  // @ts-expect-error -- it may be undefined
  data.visits++;
  data.visits = (data.visits ?? 0) + 1;
  // @ts-expect-error -- it is a number
  data.visits = "many";
  // @ts-expect-error -- data can be changed, not replaced
  session.data = {};

  isSame<ReturnType<typeof popped>, string | null>();
  function popped() {
    return session.pop("username", null);
  }
  // @ts-expect-error -- there is no such key
  session.pop("usernmae");

  const visits: number = session.update("visits", (n = 0) => n + 1);
  // @ts-expect-error -- the function returns nothing
  session.update("cart", (cart) => {
    cart!.items.push("tea");
  });
  // @ts-expect-error -- there is no such key
  session.update("vists", (n: number | undefined = 0) => n + 1);
  session.update("cart", (cart = { items: [] }) => ({ items: [...cart.items, "tea"] }));

  session.signIn("ada", { keep: ["cart"], remember: "30d" });
  // @ts-expect-error -- there is no such key
  session.signIn("ada", { keep: ["crat"] });
  const options: SignInOptions = { keep: ["cart", "visits"] };
  session.signIn("ada", options);
  // @ts-expect-error -- a duration has a unit
  session.signIn("ada", { remember: 30 });
  return `${visits} ${data.username ?? "nobody"}`;
}
