import { defineMiddleware } from "nitro/h3";
import { applicationOf } from "../utils/applications.ts";

export default defineMiddleware((event, next) => applicationOf(event)?.middleware(event, next));
