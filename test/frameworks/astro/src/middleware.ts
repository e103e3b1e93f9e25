import type { MiddlewareHandler } from "astro";
import { applicationOf } from "./suite.js";

export const onRequest: MiddlewareHandler = (context, next) => applicationOf(context.request)!.onRequest(context, next);
