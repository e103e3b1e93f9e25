import { createSessions } from "sojourn";
import { memoryStore } from "sojourn/memory";

const memory = memoryStore();
const failing = { now: false };
const fail = () => Promise.reject(new Error("the store is down"));

export const sessions = createSessions({
  secretKey: crypto.getRandomValues(new Uint8Array(32)),
  store: {
    ...memory,
    create: (...given) => (failing.now ? fail() : memory.create(...given)),
    update: (...given) => (failing.now ? fail() : memory.update(...given)),
  },
});

export const setFailing = (now: boolean) => void (failing.now = now);
