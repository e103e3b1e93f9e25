export default function AccountPage() {
  return <p>the account</p>;
}
