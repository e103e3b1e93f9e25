import { Suspense } from "react";
import { readSession } from "../../lib/session";

async function readPrivately() {
  "use cache: private";
  return readSession();
}

async function Shown() {
  const { userId, data } = await readPrivately();
  return <p>{`private ${userId} ${JSON.stringify(data)}`}</p>;
}

export default function PrivatePage() {
  return (
    <Suspense fallback={<p>waiting</p>}>
      <Shown />
    </Suspense>
  );
}
