import { Await, createFileRoute } from "@tanstack/react-router";
import { act, callFunction } from "../functions.ts";

export const Route = createFileRoute("/own/page")({
  loader: async () => {
    const later = callFunction({ data: "later" });
    const [layout, page] = await Promise.all([callFunction({ data: "layout" }), callFunction({ data: "page" })]);
    return { layout, page, later };
  },
  component: Page,
});

function Page() {
  const { page, later } = Route.useLoaderData();
  return (
    <>
      <h1>Page: {page}</h1>
      <button onClick={() => act({ data: "redirect" })}>Act</button>
      <Await promise={later} fallback={<p>Waiting</p>}>
        {(text) => <p>Later: {text}</p>}
      </Await>
    </>
  );
}
