import { sessionMiddleware } from "sojourn/h3";
import { csrf, sessions } from "../utils/sessions.ts";

export default sessionMiddleware(sessions, { csrf });
