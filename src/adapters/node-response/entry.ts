/// <reference types="node" preserve="true" />
/** For those who write an adapter for a framework that answers through a response of node:http. */
export { useDictionaryMode } from "../dictionary-mode.ts";
export { isWatchingDirectWrites, watchDirectWrites } from "./direct-writes.ts";
export { finishBeforeEnd } from "./finish.ts";
export { nodeAdapter, type NodeAdapterParts, type NodeExchange } from "./node-adapter.ts";
export { respondWithError } from "./respond-with-error.ts";
export { setFailureHeaders, storeBeforeHeaders } from "./store-before-headers.ts";
