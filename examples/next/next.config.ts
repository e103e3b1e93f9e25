import type { NextConfig } from "next";

const config: NextConfig = {
  // Pages and route handlers share one Sojourn.
  serverExternalPackages: ["sojourn"],
  turbopack: { root: import.meta.dirname },
};

export default config;
