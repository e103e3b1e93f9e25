#!/usr/bin/env node
import { randomBytes } from "node:crypto";

const USAGE = `Usage: sojourn keygen

  keygen   prints a new secret key: 256 random bits in base64url.
           Keep it where the application finds it, for instance as SECRET_KEY in its environment.
`;

const [command, ...rest] = process.argv.slice(2);

if (command === "keygen" && rest.length === 0) process.stdout.write(`${randomBytes(32).toString("base64url")}\n`);
else if (command === "--help" || command === "-h" || command === "help") process.stdout.write(USAGE);
else {
  process.stderr.write(
    command === undefined ? USAGE : `sojourn: unknown command: ${process.argv.slice(2).join(" ")}\n${USAGE}`,
  );
  process.exitCode = 2;
}
