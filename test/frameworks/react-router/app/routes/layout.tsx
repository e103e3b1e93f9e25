import { Outlet } from "react-router";
import { sessionContext } from "sojourn/react-router";
import type { Route } from "./+types/layout";
import { caseOf } from "../cases.ts";

export async function loader({ request, context }: Route.LoaderArgs) {
  return { value: await caseOf(request).pages?.["layout"]?.(context.get(sessionContext), request) };
}

export default function Layout() {
  return <Outlet />;
}
