// Astro loads the middleware with the first request. Loaded now, it refuses to start without SECRET_KEY.
await import("./dist/server/virtual_astro_middleware.mjs");
await import("./dist/server/entry.mjs");
