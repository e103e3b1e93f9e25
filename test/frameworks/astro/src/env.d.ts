import type { SessionLocals } from "sojourn/astro";

declare global {
  namespace App {
    interface Locals extends SessionLocals {}
  }
}
