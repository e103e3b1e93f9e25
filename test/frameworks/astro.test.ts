import { describeExample, describeSuite } from "../support/frameworks/framework.ts";

describeExample("astro", { builds: true });
describeSuite("astro", { builds: true });
