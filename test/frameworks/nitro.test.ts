import { describeExample, describeSuite } from "../support/frameworks/framework.ts";

describeSuite("nitro", { builds: true });

describeExample("nitro", { builds: true });
