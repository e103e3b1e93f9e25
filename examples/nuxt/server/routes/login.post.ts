export default defineEventHandler(async (event) => {
  const { username } = (await readBody<{ username?: string } | undefined>(event)) ?? {};
  const id = username?.trim() ?? "";
  if (id === "" || id.length > 64)
    throw createError({ statusCode: 400, statusMessage: "Please enter a username of at most 64 characters." });
  await setUserSession(event, { user: { id } });
  return sendRedirect(event, "/", 303);
});
