import type { SessionLocals } from "sojourn/sveltekit";

declare global {
  namespace App {
    interface Locals extends SessionLocals {}
  }
}
