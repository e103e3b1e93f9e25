import { csrf } from "../sessions";

export default defineEventHandler(async (event) => {
  // The link of another site must log nobody out.
  csrf.check(event, event.context.session, { everyMethod: true });
  await clearUserSession(event);
  return sendRedirect(event, "/", 303);
});
