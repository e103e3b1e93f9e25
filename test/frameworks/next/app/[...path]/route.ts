import { suite } from "../../lib/suite";

type Context = { params: Promise<{ path: string[] }> };

/** The route handler of the case whose server the request came to. */
const answer = (request: Request, context: Context) => {
  const handler = suite().handlers.get(request.headers.get("host")!)!;
  return handler(request, context);
};

export const GET = answer;
export const POST = answer;
