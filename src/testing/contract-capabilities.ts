import { closeCases } from "./contract-close.ts";
import { forgettingCases } from "./contract-forgetting.ts";
import { latestCases } from "./contract-latest.ts";
import { listenerCases } from "./contract-listeners.ts";
import { listingCases } from "./contract-listing.ts";
import { subscribeCases } from "./contract-subscribe.ts";
import { userCases } from "./contract-users.ts";
import type { Capability, Rule } from "./store-contract.ts";

/** The rules of each capability that the store has. They are exact to the millisecond only if the suite's clock is used. */
export function capabilityCases(capabilities: readonly Capability[], exact: boolean): Rule[] {
  const cases: Record<Capability, readonly Rule[]> = {
    idsOfUser: userCases(exact),
    all: listingCases(exact),
    deleteExpired: forgettingCases,
    readLatest: latestCases,
    subscribe: [...subscribeCases, ...listenerCases],
    close: closeCases,
  };
  return capabilities.flatMap((capability) =>
    cases[capability].map(([name, check]): Rule => [
      name,
      async (bench) => {
        if (typeof bench.store[capability] === "function") await check(bench);
      },
    ]),
  );
}
