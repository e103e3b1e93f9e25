/**
 * For the tests of an application, of a store, and of an adapter: cookies, a clock, the contracts of stores and of adapters,
 * and stores that fail on purpose.
 */
export {
  type Capability,
  type ContractCase,
  type MakeStore,
  storeContract,
  type StoreInstances,
} from "./store-contract.ts";
export type { StoreContractOptions } from "./store-contract.ts";
export {
  type AdapterContractOptions,
  adapterContract,
  type AdapterExchange,
  type AdapterMount,
  type AdapterParts,
  type AdapterReply,
  type AdapterRoute,
  type AdapterServer,
  type StartApplication,
  type TypedSession,
} from "./adapter/contract.ts";
export { type Fault, faulty, type FaultPlan, type FaultyStore, type StoreOperation } from "./faulty.ts";
export { cookieFor, type CookieForOptions, sessionFor, testClock, type TestClock, tokenFor } from "./application.ts";
