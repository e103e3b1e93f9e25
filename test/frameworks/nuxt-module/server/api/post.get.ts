export default defineEventHandler((event) => event.$fetch("/api/visit", { method: "POST" }));
