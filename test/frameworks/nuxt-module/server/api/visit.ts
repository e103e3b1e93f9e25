export default defineEventHandler(({ context }) => context.session.update("visits", (visits = 0) => visits + 1));
