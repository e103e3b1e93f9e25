import { requireUser } from "sojourn/fetch";
import { route } from "../../lib/session";

export const GET = route(requireUser((_request, session) => new Response(session.userId)));
