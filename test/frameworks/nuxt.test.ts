import { describeExample, describeSuite } from "../support/frameworks/framework.ts";

describeSuite("nuxt", { builds: true });

describeExample("nuxt", { builds: true });
