import type { PageServerLoad } from "./$types.js";

export const load: PageServerLoad = ({ locals }) => ({ username: locals.session.data.username });
