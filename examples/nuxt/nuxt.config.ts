export default defineNuxtConfig({
  compatibilityDate: "2026-11-01",
  modules: ["sojourn/nuxt"],
  telemetry: false,
});
