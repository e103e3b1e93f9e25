import { createServer } from "node:http";

// adapter-node takes every request for one over HTTPS, unless a proxy's header says otherwise.
process.env.PROTOCOL_HEADER = "x-forwarded-proto";
const { handler } = await import("./build/handler.js");
const { PORT = "3000" } = process.env;

const server = createServer((req, res) => {
  req.headers["x-forwarded-proto"] ??= "http";
  handler(req, res);
});
server.listen(Number(PORT), "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`));
