import { Await, createFileRoute, Outlet } from "@tanstack/react-router";
import { callFunction, callLater } from "../functions.ts";

export const Route = createFileRoute("/page")({
  loader: async () => {
    const [layout, page] = await Promise.all([callFunction({ data: "layout" }), callFunction({ data: "page" })]);
    return { layout, page, later: callLater() };
  },
  component: Page,
});

function Page() {
  const { page, later } = Route.useLoaderData();
  return (
    <>
      <h1>Page: {page}</h1>
      <Await promise={later} fallback={<p>Waiting</p>}>
        {(text) => <p>Later: {text}</p>}
      </Await>
      <Outlet />
    </>
  );
}
