import type { AdapterRoute } from "sojourn/testing";

/** The routes of each case, by the port of its server. */
export const applications = new Map<number, readonly AdapterRoute[]>();
