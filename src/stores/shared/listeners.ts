import type { StoreListener } from "../../store.ts";

/** Tells every listener. One that throws keeps neither the others from hearing nor the store from going on. */
export function notifyAll(listeners: Iterable<StoreListener>, how: (listener: StoreListener) => void): void {
  for (const listener of listeners) {
    try {
      how(listener);
    } catch (error) {
      process.emitWarning(error instanceof Error ? error : String(error));
    }
  }
}

/**
 * Wraps a listener in an object of its own for each subscription. So the same listener may subscribe twice, and each
 * subscription ends by itself.
 */
export function wrapListener(listener: StoreListener): StoreListener {
  return {
    ended: (id) => listener.ended?.(id),
    changed: (id) => listener.changed?.(id),
    listening: (is) => listener.listening?.(is),
  };
}
