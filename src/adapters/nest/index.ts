export { returnTo, type GuardOptions, type ReturnOptions } from "../guards.ts";
export { Session, SignedIn, UserId, type ParameterPipe, type SignedInOptions } from "./decorators.ts";
export { withSession, type GatewayOptions } from "./gateways.ts";
export { Sessions, SojournModule, type SojournAsyncOptions, type SojournOptions } from "./module.ts";
export type { PlatformRequest } from "./mount.ts";
