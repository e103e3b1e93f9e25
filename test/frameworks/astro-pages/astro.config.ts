import node from "@astrojs/node";
import { defineConfig, memoryCache } from "astro/config";

export default defineConfig({
  adapter: node({ mode: "middleware" }),
  output: "server",
  session: false,
  security: { checkOrigin: false },
  cache: { provider: memoryCache() },
  vite: { ssr: { external: ["sojourn"] } },
});
