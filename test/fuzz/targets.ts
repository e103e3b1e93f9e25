import type { Target } from "./target.ts";
import { cookieTargets } from "./targets/cookies.ts";
import { dataTargets } from "./targets/data.ts";
import { delayedTargets } from "./targets/delayed-response.ts";
import { fileTargets } from "./targets/files.ts";
import { formerTargets } from "./targets/former.ts";
import { headerTargets } from "./targets/headers.ts";
import { recordTargets } from "./targets/records.ts";
import { redisTargets } from "./targets/redis.ts";
import { tokenTargets } from "./targets/tokens.ts";
import { urlTargets } from "./targets/urls.ts";

/** All that a client, a store or a program can feed with bytes of its own making. */
export const TARGETS: readonly Target[] = [
  ...cookieTargets,
  ...tokenTargets,
  ...formerTargets,
  ...recordTargets,
  ...dataTargets,
  ...redisTargets,
  ...fileTargets,
  ...urlTargets,
  ...headerTargets,
  ...delayedTargets,
];
