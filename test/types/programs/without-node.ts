// Entries whose types need nothing of Node's, in a program that has nothing of them.
import { sessionFactory, type AdapterOptions } from "sojourn/adapter";
import { cached } from "sojourn/cached";
import { copySessions } from "sojourn/copy";
import { fileStore } from "sojourn/file";
import { movingStore } from "sojourn/moving";
import { mysqlStore } from "sojourn/mysql";
import { openStore } from "sojourn/open";
import { postgresStore } from "sojourn/postgres";
import { sqliteStore } from "sojourn/sqlite";
import { storeContract } from "sojourn/testing";

// @ts-expect-error -- it would be there with @types/node
export type Loaded = NodeJS.Timeout;
export type Options = AdapterOptions<Request>;
export const all = [sessionFactory, cached, copySessions, fileStore, movingStore, mysqlStore, openStore];
export const more = [postgresStore, sqliteStore, storeContract];
