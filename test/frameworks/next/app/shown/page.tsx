import { Suspense } from "react";
import { getSession } from "../../lib/session";

async function Shown() {
  const session = await getSession();
  return <p>{`user ${session.userId ?? "nobody"} data ${JSON.stringify(session.data)}`}</p>;
}

export default function ShownPage() {
  return (
    <Suspense fallback={<p>waiting</p>}>
      <Shown />
    </Suspense>
  );
}
