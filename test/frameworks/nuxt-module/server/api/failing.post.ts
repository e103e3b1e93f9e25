import { setFailing } from "../own/sessions";

export default defineEventHandler(async (event) => void setFailing(await readBody<boolean>(event)));
