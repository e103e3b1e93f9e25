/** The store contract as a suite for any test runner, and stores that fail on purpose. */
export {
  type Capability,
  type ContractCase,
  type MakeStore,
  storeContract,
  type StoreInstances,
} from "./store-contract.ts";
export type { StoreContractOptions } from "./store-contract.ts";
export { type Fault, faulty, type FaultPlan, type FaultyStore, type StoreOperation } from "./faulty.ts";
