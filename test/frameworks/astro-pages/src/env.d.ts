import type { Sessions } from "sojourn";
import type { SessionLocals } from "sojourn/astro";

declare global {
  namespace App {
    interface Locals extends SessionLocals {}
  }
  /** run.mjs makes the sessions, and opens the gates. */
  var sojournPages: { sessions: Sessions; gate(name: string): Promise<void> } | undefined;
}

declare module "sojourn" {
  interface SessionData {
    count?: number;
    late?: boolean;
    tab?: string;
    action?: string;
    missed?: string;
    lost?: boolean;
  }
}
