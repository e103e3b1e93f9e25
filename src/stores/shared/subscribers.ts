import type { StoreListener } from "../../store.ts";

/** Hears of what happens in a store, for all of its subscribers. */
interface Source {
  /** Called before the first subscriber is there; the source then says by `listening` whether it hears. */
  start(): void;
  /** Called when the last subscriber has left. */
  stop(): void;
}

/** Those who have subscribed to one store. */
export interface Subscribers {
  /** Begins a subscription, and gives the function that ends it: that one alone, and once. */
  subscribe(listener: StoreListener): () => void;
  /** Says whether the source hears from now on; the subscribers are told where that is new. */
  listening(is: boolean): void;
  ended(id: string): void;
  changed(id: string): void;
  /** Ends every subscription. */
  close(): void;
}

/** For a store. A listener that throws keeps neither the others from hearing nor the store from going on. */
export function createSubscribers({ start, stop }: Source): Subscribers {
  // Wrapped: a listener may be there twice.
  const subscriptions = new Set<{ readonly listener: StoreListener }>();
  let isListening = false;

  function notify(subscription: { readonly listener: StoreListener }, how: (listener: StoreListener) => void): void {
    try {
      how(subscription.listener);
    } catch (error) {
      process.emitWarning(error instanceof Error ? error : String(error));
    }
  }

  function notifyAll(how: (listener: StoreListener) => void): void {
    if (subscriptions.size === 0) return;
    // Whoever subscribes meanwhile is not told of what was before. Whoever's subscription ends meanwhile hears no more.
    const before = [...subscriptions];
    for (const subscription of before) if (subscriptions.has(subscription)) notify(subscription, how);
  }

  return {
    subscribe(listener) {
      if (subscriptions.size === 0) {
        // A source that was stopped may have said something since.
        isListening = false;
        start();
      }
      const subscription = { listener };
      subscriptions.add(subscription);
      notify(subscription, () => listener.listening?.(isListening));
      return () => {
        if (subscriptions.delete(subscription) && subscriptions.size === 0) stop();
      };
    },

    listening(is) {
      if (isListening === is) return;
      isListening = is;
      notifyAll((listener) => listener.listening?.(is));
    },

    ended: (id) => notifyAll((listener) => listener.ended?.(id)),
    changed: (id) => notifyAll((listener) => listener.changed?.(id)),

    close() {
      if (subscriptions.size === 0) return;
      subscriptions.clear();
      stop();
    },
  };
}
