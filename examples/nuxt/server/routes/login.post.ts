export default defineEventHandler(async (event) => {
  const { username } = (await readBody<{ username?: string } | undefined>(event)) ?? {};
  const id = username?.trim() ?? "";
  if (id === "") throw createError({ statusCode: 400, statusMessage: "Please enter a username." });
  await setUserSession(event, { user: { id } });
  return sendRedirect(event, "/", 303);
});
