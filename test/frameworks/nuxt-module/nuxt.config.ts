export default defineNuxtConfig({
  compatibilityDate: "2026-11-01",
  telemetry: false,
  modules: ["sojourn/nuxt"],
  sojourn: { sessions: "own/sessions.ts" },
  routeRules: { "/prerendered": { prerender: true }, "/cached": { swr: 60 }, "/isr": { isr: 60 } },
});
