export default defineEventHandler(async (event) => {
  const session = await setUserSession(event, await readBody(event));
  // @ts-expect-error -- there is no such key
  console.assert(session.unknown === undefined);
  return { user: session.user, signedIn: event.context.session.userId };
});
