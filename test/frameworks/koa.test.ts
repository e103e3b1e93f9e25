import { describeExample } from "../support/frameworks/framework.ts";

describeExample("koa");
