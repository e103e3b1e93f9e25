// A request to the own server as Nuxt's documentation shows it: the cookie is handed on by hand.
export default defineEventHandler(async (event) => {
  const { _data, headers } = await $fetch.raw("/api/visit", {
    headers: { cookie: getRequestHeader(event, "cookie") ?? "" },
  });
  return { visits: _data, cookies: headers.getSetCookie().length };
});
