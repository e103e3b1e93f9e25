import node from "@astrojs/node";
import { defineConfig } from "astro/config";

export default defineConfig({
  adapter: node({ mode: "middleware" }),
  output: "server",
  session: false,
  // The suite posts without an Origin. csrfProtection() is what a case of it is about.
  security: { checkOrigin: false },
  // The same copy as the one that runs the suite.
  vite: { ssr: { external: ["sojourn"] } },
});
