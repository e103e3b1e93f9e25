import { Suspense } from "react";
import { getSession } from "../../lib/session";
import * as actions from "./actions";

async function Shown() {
  const session = await getSession();
  return <p>{`user ${session.userId ?? "nobody"} data ${JSON.stringify(session.data)}`}</p>;
}

export default function FormsPage() {
  return (
    <>
      {Object.entries(actions).map(([name, action]) => (
        <form key={name} id={name} action={action as (form: FormData) => Promise<void>}>
          <input name="user" />
        </form>
      ))}
      <Suspense>
        <Shown />
      </Suspense>
    </>
  );
}
