import type { StoreListener } from "../../store.ts";

/** Receives a store's notifications for all of its subscribers. */
interface Source {
  /** Called before the first subscriber is added. The source then calls `listening` when it can receive notifications. */
  start(): void;
  /** Called when the last subscriber has left. */
  stop(): void;
}

/** The subscribers of one store. */
export interface Subscribers {
  /** Adds a subscription. Returns a function that ends this subscription; further calls have no effect. */
  subscribe(listener: StoreListener): () => void;
  /** Sets whether the source receives notifications. Subscribers are notified if that changes. */
  listening(is: boolean): void;
  ended(id: string): void;
  changed(id: string): void;
  /** Ends every subscription. */
  close(): void;
}

/** Creates the list of a store's subscribers. If a listener throws, a warning is emitted and the other listeners are called. */
export function createSubscribers({ start, stop }: Source): Subscribers {
  // Each listener is wrapped in an object, because the same listener may subscribe twice.
  const subscriptions = new Set<{ readonly listener: StoreListener }>();
  let isListening = false;

  function notify(subscription: { readonly listener: StoreListener }, call: (listener: StoreListener) => void): void {
    try {
      call(subscription.listener);
    } catch (error) {
      process.emitWarning(error instanceof Error ? error : String(error));
    }
  }

  function notifyAll(call: (listener: StoreListener) => void): void {
    if (subscriptions.size === 0) return;
    // A listener may add or end subscriptions. New ones do not get this notification, and ended ones get none any more.
    const before = [...subscriptions];
    for (const subscription of before) if (subscriptions.has(subscription)) notify(subscription, call);
  }

  return {
    subscribe(listener) {
      if (subscriptions.size === 0) {
        // The value may come from before the source was stopped.
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
