import type { Config } from "@react-router/dev/config";

export default { prerender: ["/own/prerendered"] } satisfies Config;
