import { layout, route, type RouteConfig } from "@react-router/dev/routes";

export default [
  layout("routes/layout.tsx", [route("own/page", "routes/page.tsx")]),
  route("own/guarded", "routes/guarded.tsx"),
  route("own/prerendered", "routes/prerendered.tsx"),
  route("*", "routes/contract.ts"),
] satisfies RouteConfig;
