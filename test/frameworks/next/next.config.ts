import type { NextConfig } from "next";

const config: NextConfig = {
  serverExternalPackages: ["sojourn"],
  turbopack: { root: import.meta.dirname },
  cacheComponents: true,
};

export default config;
