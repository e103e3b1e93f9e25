import { Suspense } from "react";
import { getSession } from "../../lib/session";

async function Shown() {
  return <p>{`user ${(await getSession()).userId}`}</p>;
}

export default function FailingPage() {
  return (
    <Suspense fallback={<p>waiting</p>}>
      <Shown />
    </Suspense>
  );
}
