export default function Prerendered() {
  return <h1>The same for everybody</h1>;
}
