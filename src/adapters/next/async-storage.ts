import { AsyncLocalStorage } from "node:async_hooks";

// Next.js takes it from here when its first module is loaded, and puts it here when its server starts. A custom server may
// import the application's sessions before that.
const shared = globalThis as { AsyncLocalStorage?: unknown };
shared.AsyncLocalStorage ??= AsyncLocalStorage;
