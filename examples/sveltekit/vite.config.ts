import adapter from "@sveltejs/adapter-node";
import { sveltekit } from "@sveltejs/kit/vite";
import { defineConfig } from "vite";

// adapter-node takes every request for one over HTTPS, unless it is told where the application is.
const { PORT = "3000", ORIGIN = `http://127.0.0.1:${PORT}` } = process.env;

export default defineConfig({
  plugins: [sveltekit({ adapter: adapter(), paths: { origin: ORIGIN } })],
});
