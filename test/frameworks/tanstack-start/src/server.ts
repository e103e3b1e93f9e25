import handler, { createServerEntry } from "@tanstack/react-start/server-entry";
import * as core from "sojourn";
import * as csrf from "sojourn/csrf";
import * as memory from "sojourn/memory";
import * as start from "sojourn/tanstack-start";
import * as testing from "sojourn/testing";

// The suite needs the copy of the library that the build has put into the server.
Object.assign(globalThis, { sojourn: { ...core, ...csrf, ...memory, ...start, ...testing } });

export default createServerEntry({ fetch: handler.fetch });
