import node from "@astrojs/node";
import { defineConfig } from "astro/config";

export default defineConfig({
  adapter: node({ mode: "standalone" }),
  output: "server",
  server: { host: "127.0.0.1", port: 3000 },
  session: false, // Astro's own sessions, which Sojourn takes the place of
});
