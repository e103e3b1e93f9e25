// Medians and quartiles.
export function quantile(values, share) {
  if (values.length === 0) return Number.NaN;
  const sorted = values.toSorted((a, b) => a - b);
  const at = (sorted.length - 1) * share;
  const low = Math.floor(at);
  return sorted[low] + (sorted[Math.ceil(at)] - sorted[low]) * (at - low);
}

export const median = (values) => quantile(values, 0.5);

const rounded = (value) => (Math.abs(value) >= 1000 ? Math.round(value) : Number(value.toPrecision(4)));

/** How the values of rounds are kept in a result. */
export function summary(values) {
  return {
    median: rounded(median(values)),
    quartiles: [rounded(quantile(values, 0.25)), rounded(quantile(values, 0.75))],
    rounds: values.length,
  };
}
