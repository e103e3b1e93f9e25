import { getSession } from "../../lib/session";

export default async function MainPage() {
  return <p>{`main ${(await getSession()).userId}`}</p>;
}
