import adapter from "@sveltejs/adapter-node";
import { sveltekit } from "@sveltejs/kit/vite";
import { defineConfig } from "vite";

export default defineConfig({
  // The suite posts without an Origin. csrfProtection() is what a case of it is about.
  plugins: [sveltekit({ adapter: adapter({ precompress: false }), csrf: { trustedOrigins: ["*"] } })],
});
