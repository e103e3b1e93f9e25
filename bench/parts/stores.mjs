// Files, SQLite and PostgreSQL, on Express and Fastify over HTTP with 16 connections.
import { CONTENDERS, isHere } from "../contenders.mjs";
import { storeIsHere, withDirectory, withPostgres } from "../lib/servers.mjs";
import { measureHttp } from "./http.mjs";

export const title = "Files, SQLite and PostgreSQL, over HTTP";
// better-sqlite3 is compiled for the Node that runs this.
export const nodes = "one";
export const budget = 75;

const STORES = ["files", "SQLite", "PostgreSQL"];
const CONNECTIONS = 16;
/** Fewer contenders than in memory, and slower ones. */
const WARM_UP_SECONDS = { inProcess: 1.2, overHttp: 1 };

export async function run({ node, missing, rounds = 9, budget: seconds = budget, only, log }) {
  const isMeasured = (row) => STORES.includes(row.store) && storeIsHere(row, missing) && isHere(row) && only(row);
  const rows = CONTENDERS.filter(isMeasured);
  const shared = {
    node,
    rounds,
    seconds,
    log,
    connections: CONNECTIONS,
    warmUpSeconds: WARM_UP_SECONDS,
    paths: ["read", "write"],
  };
  return withDirectory((directory) => {
    if (!rows.some(({ store }) => store === "PostgreSQL"))
      return measureHttp(rows, { ...shared, place: { directory } });
    return withPostgres(({ pid, ...postgres }) =>
      measureHttp(rows, { ...shared, place: { directory, postgres }, databasePid: pid }),
    );
  });
}
