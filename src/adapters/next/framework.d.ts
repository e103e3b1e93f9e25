// The calls of Next.js that the adapter makes, since Next.js is too large to be installed for its types alone. The types of the
// suite's application, in test/frameworks/next, are checked with those of Next.js itself.

declare module "next/headers.js" {
  export function headers(): Promise<{ get(name: string): string | null }>;
  export function cookies(): Promise<{ set(name: string, value: string, attributes: object): unknown }>;
}

declare module "next/server.js" {
  export function connection(): Promise<void>;
  export function after(task: () => void): void;
}

declare module "next/cache.js" {
  export function refresh(): void;
}
