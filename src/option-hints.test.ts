import { describe, expect, it } from "vitest";
import { site } from "../test/support/stores.ts";
import { optionHint } from "./option-hints.ts";
import { memoryStore } from "./stores/memory.ts";

const KNOWN = ["secretKey", "store", "idleTimeout", "absoluteTimeout", "maxPerUser", "trustProxy", "cookie", "limits"];

describe("optionHint", () => {
  it.each([
    ["a letter left out", "trustProxi", "trustProxy"],
    ["a letter too many", "storre", "store"],
    ["two letters changed", "maxPreUser", "maxPerUser"],
    ["two letters swapped", "sotre", "store"],
    ["other capitals", "IDLETIMEOUT", "idleTimeout"],
    ["an option that has the name in it", "idle", "idleTimeout"],
    ["a name that has the option in it", "cookieOptions", "cookie"],
  ])("asks for the option that was meant: %s", (_, name, meant) => {
    expect(optionHint("maker", name, KNOWN)).toBe(`did you mean "${meant}"?`);
  });

  it.each([
    ["nothing is near", "genie"],
    ["a short name has two slips", "stuxe"],
    ["two options have the name in them", "timeout"],
    ["the name is too short to tell", "key"],
    ["it is a member of every object", "toString"],
    ["there is no name at all", ""],
  ])("says nothing where %s", (_, name) => {
    expect(optionHint("maker", name, KNOWN)).toBeUndefined();
  });

  it("takes the nearest", () => {
    expect(optionHint("maker", "stora", ["story", "stores", "store"])).toBe('did you mean "story"?');
    expect(optionHint("maker", "limita", ["limes", "limits"])).toBe('did you mean "limits"?');
  });

  it("knows the options of a library only where they may stand", () => {
    expect(optionHint("createSessions", "resave", [])).toContain("without changes");
    expect(optionHint("limits", "resave", [])).toBeUndefined();
    expect(optionHint("toString", "resave", [])).toBeUndefined();
    expect(optionHint("redisStore", "ttl", [])).toContain("idleTimeout");
    expect(optionHint("postgresStore", "createTableIfMissing", [])).toContain("migratePostgres(pool)");
  });
});

describe("createSessions", () => {
  it.each([
    ["secret", "secretKey"],
    ["keys", "secretKey"],
    ["password", "secretKey"],
    ["name", "cookie: { name"],
    ["cookieName", "cookie: { name"],
    ["cookieOptions", 'did you mean "cookie"?'],
    ["secure", "cookie: {"],
    ["httpOnly", "always HttpOnly"],
    ["maxAge", "idleTimeout"],
    ["ttl", "absoluteTimeout"],
    ["resave", "is not written"],
    ["saveUninitialized", "gets no cookie"],
    ["rolling", "touchInterval"],
    ["renew", "touchInterval"],
    ["genid", "random"],
    ["unset", "session.signOut()"],
    ["proxy", "trustProxy"],
    ["trustsProxy", 'did you mean "trustProxy"?'],
    ["storeTimout", 'did you mean "storeTimeout"?'],
  ])("says what there is in place of %s", (name, hint) => {
    expect(() => site({ [name]: true })).toThrow(TypeError);
    expect(() => site({ [name]: true })).toThrow(hint);
    expect(() => site({ [name]: true })).toThrow(/Otherwise use any of secretKey/);
  });

  it("does so for the cookie, a store and a sign-in", async () => {
    expect(() => site({ cookie: { maxAge: 1 } as object })).toThrow('"maxAge": idleTimeout: "30m" and');
    expect(() => memoryStore({ max: 1 } as object)).toThrow("it is called maxSessions.");
    const { session } = await site().browser().begin();
    expect(() => session.signIn("alice", { rememberMe: "30d" } as object)).toThrow('did you mean "remember"?');
    expect(() => session.signIn("alice", { maxAge: 1 } as object)).toThrow('remember: "30d"');
  });
});
