import { Suspense } from "react";
import { getSession } from "../../lib/session";
import { suite } from "../../lib/suite";

async function Begin() {
  return <p>{`begin ${(await getSession()).userId}`}</p>;
}

async function End() {
  const { signal } = await getSession();
  await suite().gate("stream");
  const session = await getSession();
  return <p>{`end ${session.userId} aborted ${signal.aborted}`}</p>;
}

export default function StreamedPage() {
  return (
    <>
      <Suspense>
        <Begin />
      </Suspense>
      <Suspense fallback={<p>waiting</p>}>
        <End />
      </Suspense>
    </>
  );
}
