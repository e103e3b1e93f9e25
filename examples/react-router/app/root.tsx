import { isRouteErrorResponse, Links, Meta, Outlet, Scripts, ScrollRestoration } from "react-router";
import { sessionMiddleware } from "sojourn/react-router";
import { csrf, sessions } from "./sessions.server.ts";
import type { Route } from "./+types/root";

export const middleware = [sessionMiddleware(sessions, { csrf })];

export function Layout({ children }: { children: React.ReactNode }) {
  return (
    <html lang="en">
      <head>
        <meta charSet="utf-8" />
        <title>Sojourn and React Router</title>
        <Meta />
        <Links />
      </head>
      <body>
        {children}
        <ScrollRestoration />
        <Scripts />
      </body>
    </html>
  );
}

export default function App() {
  return <Outlet />;
}

export function ErrorBoundary({ error }: Route.ErrorBoundaryProps) {
  return <h1>{isRouteErrorResponse(error) ? error.data || error.statusText : "Something went wrong"}</h1>;
}
