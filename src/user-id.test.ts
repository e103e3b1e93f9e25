import { describe, expect, it } from "vitest";
import { formerSession } from "./interop/source.ts";
import { butGiven, isUserId, passportUser } from "./user-id.ts";

describe("the id of a user", () => {
  it.each(["a", "Zoë", "x".repeat(512)])("can be the text %j", (id) => expect(isUserId(id)).toBe(true));

  it.each([undefined, 7, "", "x".repeat(513), "ë".repeat(257), "\uD800"])("can't be %j", (id) =>
    expect(isUserId(id)).toBe(false),
  );

  it.each([
    [7, ", not 7: give String(user.id)"],
    [7n, ", not 7: give String(user.id)"],
    [{ id: 7 }, ", not an object: give its id"],
    [null, ", not null"],
    [undefined, ", not undefined"],
    ["", ""],
  ])("is missing in an error for %s, which says what to give", (id, end) => expect(butGiven(id)).toBe(end));

  it.each([
    ["ada", "ada"],
    [0, "0"],
    [{ id: 7, name: "Ada" }, "7"],
    [{ id: "ada" }, "ada"],
    [{ name: "Ada" }, undefined],
    [["ada"], undefined],
    ["", undefined],
    [true, undefined],
    [null, undefined],
    [undefined, undefined],
  ])("is, where passport keeps %j, %j, for new sessions and for adopted ones", (user, id) => {
    const data = { passport: { user } };
    expect([passportUser(data), formerSession({}, data).userId]).toEqual([id, id]);
  });
});
