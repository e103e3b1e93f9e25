import { createHook } from "node:async_hooks";

/** How many promises and timers `work` makes, for each of `count`. */
export async function countAsync(work, count) {
  const made = { PROMISE: 0, Timeout: 0, Immediate: 0, TickObject: 0 };
  const hook = createHook({
    init(_id, type) {
      if (type in made) made[type] += 1;
    },
  });
  hook.enable();
  try {
    await work();
  } finally {
    hook.disable();
  }
  const each = (value) => Math.round(value / count);
  return { promises: each(made.PROMISE), timers: each(made.Timeout + made.Immediate), ticks: each(made.TickObject) };
}
