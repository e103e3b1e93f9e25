// The applications of the tests keep anything in a session. test/types shows how strict the types are for a program.
export type { SessionData } from "sojourn";

declare module "sojourn" {
  interface SessionData {
    [key: string]: unknown;
  }
}

// Sources and library are checked in one program, where the sources' adapters declare `request.session` first.
declare module "../../src/index.ts" {
  interface SessionData {
    [key: string]: unknown;
  }
}
