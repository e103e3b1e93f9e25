/// <reference types="node" preserve="true" />
/** For those who write an adapter for a framework that answers through a response of node:http. */
export { respondWithError } from "./respond-with-error.ts";
export { setFailureHeaders, storeBeforeHeaders } from "./store-before-headers.ts";
