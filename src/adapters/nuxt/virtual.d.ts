// Nuxt and Vue are too large to be installed here. The example is compiled with their own types.

declare module "vue" {
  const isRef: unique symbol;
  export interface Ref<Value> {
    value: Value;
    readonly [isRef]: true;
  }
  export interface ComputedRef<Value> extends Ref<Value> {
    readonly value: Value;
  }
}

declare module "#imports" {
  import type { ComputedRef, Ref } from "vue";
  import type { ServerPart } from "sojourn/nuxt/server";
  export function computed<Value>(get: () => Value): ComputedRef<Value>;
  export function onNuxtReady(callback: () => unknown): void;
  export function useRequestEvent(): { readonly context: ServerPart } | undefined;
  export function useRequestFetch(): <Answer>(path: string, options?: { method?: "DELETE" }) => Promise<Answer>;
  export function useState<Value>(key: string, init: () => Value): Ref<Value>;
}
