import { getSession } from "../../../lib/session";

export default async function SidePage() {
  return <p>{`side ${(await getSession()).userId}`}</p>;
}
