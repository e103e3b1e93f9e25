import { computed, onNuxtReady, useRequestEvent, useRequestFetch, useState } from "#imports";
import type { ComputedRef, Ref } from "vue";
import type { DeclaredData } from "../../session.ts";
import type { ClientSession } from "./server.ts";

/** What {@link useUserSession} returns. */
export interface UserSessionComposable {
  /** Whether the session is known. It is not yet, where a page was prerendered or came from a cache. */
  readonly ready: ComputedRef<boolean>;
  /** Whether somebody is signed in. */
  readonly loggedIn: ComputedRef<boolean>;
  /** The key `user` of the data. */
  readonly user: ComputedRef<User | null>;
  /** The data without the key `secure`, and the ids of the session and of its user. */
  readonly session: Ref<ClientSession | null>;
  /** Asks the server anew. It rejects if the server can't tell. */
  fetch(): Promise<void>;
  /** Signs out. */
  clear(): Promise<void>;
}

type User = DeclaredData extends { user?: infer Declared } ? NonNullable<Declared> : unknown;

function userIn(session: object | null): User | null {
  return session === null ? null : ((Reflect.get(session, "user") as User | undefined) ?? null);
}

const PATH = "/api/_auth/session";

/** The session of the current user, on the server and in the browser. It is imported automatically. */
export function useUserSession(): UserSessionComposable {
  const session = useState<ClientSession | null>("sojourn:session", () => null);
  const isReady = useState("sojourn:ready", () => false);
  const request = useRequestFetch();
  const server = (import.meta as { server?: boolean }).server ? useRequestEvent()?.context.sojourn : undefined;

  function show(found: ClientSession | null): void {
    session.value = found;
    isReady.value = true;
  }
  const fetch = async () => show(server?.read() ?? (await request<ClientSession>(PATH)));

  if (server) {
    const found = server.read();
    if (found) show(found);
  } else if ((import.meta as { client?: boolean }).client && !isReady.value) {
    // Not before the page is hydrated: it was rendered for nobody.
    onNuxtReady(() => (isReady.value ? undefined : fetch().catch(console.error)));
  }
  return {
    ready: computed(() => isReady.value),
    loggedIn: computed(() => session.value?.userId !== undefined),
    user: computed(() => userIn(session.value)),
    session,
    fetch,
    async clear() {
      if (server) server.clear();
      else await request(PATH, { method: "DELETE" });
      session.value = null;
    },
  };
}
