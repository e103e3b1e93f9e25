import type { PageServerLoad } from "./$types.js";

/** A page that waits for the end of its session. */
export const load: PageServerLoad = ({ locals: { session } }) => {
  const { signal } = session;
  const ended = async () => {
    if (!signal.aborted) await new Promise((resolve) => signal.addEventListener("abort", resolve));
    session.data.late = true;
    return "ended";
  };
  return { userId: session.userId, ended: ended() };
};
