/** For the tests of an application, and of a store: cookies, a clock, the store contract, and stores that fail on purpose. */
export {
  type Capability,
  type ContractCase,
  type MakeStore,
  storeContract,
  type StoreInstances,
} from "./store-contract.ts";
export type { StoreContractOptions } from "./store-contract.ts";
export { type Fault, faulty, type FaultPlan, type FaultyStore, type StoreOperation } from "./faulty.ts";
export { cookieFor, type CookieForOptions, sessionFor, testClock, type TestClock, tokenFor } from "./application.ts";
