/** Lets a process of its own obey orders: the parent sends one at a time, and gets one answer. */
export function obey(orders) {
  process.on("message", ({ order, ...rest }) => {
    // In a promise, so that an error that is thrown at once is answered too.
    Promise.resolve(rest)
      .then(orders[order])
      .then(
        (answer) => process.send({ answer }),
        (error) => process.send({ error: error.stack }),
      );
  });
  process.on("disconnect", () => process.exit());
  process.send({ answer: "ready" });
}
