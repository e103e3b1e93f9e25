import { Suspense } from "react";
import { Await, useLoaderData } from "react-router";
import { sessionContext } from "sojourn/react-router";
import type { Route } from "./+types/page";
import { caseOf } from "../cases.ts";

export async function loader({ request, context }: Route.LoaderArgs) {
  const { pages } = caseOf(request);
  const session = context.get(sessionContext);
  const later = pages?.["later"]?.(session, request) as Promise<string> | undefined;
  return { value: String(await pages?.["page"]?.(session, request)), later };
}

export async function action({ request, context }: Route.ActionArgs) {
  return caseOf(request).pages?.["action"]?.(context.get(sessionContext), request) ?? null;
}

export default function Page() {
  const { value, later } = useLoaderData<typeof loader>();
  return (
    <>
      <h1>Page: {value}</h1>
      {later && (
        <Suspense fallback={<p>Waiting</p>}>
          <Await resolve={later} errorElement={<p>Failed</p>}>
            {(text) => <p>Later: {text}</p>}
          </Await>
        </Suspense>
      )}
    </>
  );
}
