import { isRouteErrorResponse, Outlet, Scripts } from "react-router";
import type { Middleware } from "sojourn/react-router";
import type { Route } from "./+types/root";
import { caseOf } from "./cases.ts";

/** The middleware that a case has at this place, so that each one is called by React Router itself. */
const slot =
  (place: number): Middleware =>
  (args, next) => {
    const mount = globalThis.cases && caseOf(args.request).mounts[place];
    return mount && args.url.pathname.startsWith(mount.path) ? mount.middleware(args, next) : next();
  };

export const middleware: Route.MiddlewareFunction[] = [slot(0), slot(1), slot(2)];

export function Layout({ children }: { children: React.ReactNode }) {
  return (
    <html lang="en">
      <body>
        {children}
        <Scripts />
      </body>
    </html>
  );
}

export default function App() {
  return <Outlet />;
}

export function ErrorBoundary({ error }: Route.ErrorBoundaryProps) {
  return <p>{isRouteErrorResponse(error) ? `Boundary: ${error.status} ${error.data}` : "Boundary"}</p>;
}
