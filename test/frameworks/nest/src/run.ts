import type { Platform } from "./application.js";
import { runCases } from "./case.js";
import { contractCases } from "./contract.js";
import { gatewayCases } from "./gateways.js";
import { guideCases } from "./guide.js";
import { passportCases } from "./passport.js";
import { requestCases } from "./requests.js";

// node dist/run.js express, or a part of it: node dist/run.js express gateways
const PARTS = {
  contract: contractCases,
  requests: requestCases,
  passport: passportCases,
  gateways: gatewayCases,
  guide: guideCases,
};

const [platform, only] = process.argv.slice(2) as [Platform, string | undefined];
for (const [part, casesOn] of Object.entries(PARTS)) {
  if (only === undefined || only === part) await runCases(part, casesOn(platform));
}
