import { Suspense } from "react";
import { takeFlashes } from "../../lib/session";

async function Flashes() {
  const flashes = await takeFlashes();
  return <p>{`flashes ${flashes.map(({ message }) => String(message)).join()}`}</p>;
}

export default function FlashesPage() {
  return (
    <Suspense fallback={<p>waiting</p>}>
      <Flashes />
    </Suspense>
  );
}
