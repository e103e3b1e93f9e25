import { describeExample, describeSuite } from "../support/frameworks/framework.ts";

describeExample("sveltekit", { builds: true });
describeSuite("sveltekit", { builds: true });
