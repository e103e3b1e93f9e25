export default defineEventHandler((event) => clearUserSession(event));
