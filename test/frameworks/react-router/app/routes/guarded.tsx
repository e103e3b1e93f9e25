import { requireUser } from "sojourn/react-router";
import type { Route } from "./+types/guarded";

export const middleware: Route.MiddlewareFunction[] = [requireUser({ loginPage: "/login" })];

export const loader = () => null;

export default function Guarded() {
  return <h1>Guarded</h1>;
}
