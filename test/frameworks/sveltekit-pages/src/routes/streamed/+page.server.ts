import type { PageServerLoad } from "./$types.js";

export const load: PageServerLoad = ({ locals: { session } }) => {
  const slow = async () => {
    await globalThis.sojournPages!.gate("slow");
    session.data.late = true;
    return `late ${session.userId}`;
  };
  return { userId: session.userId, slow: slow() };
};
