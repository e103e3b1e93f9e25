export default defineEventHandler(async (event) => replaceUserSession(event, await readBody(event)));
