// The load, in a process of its own: autocannon with keep-alive connections. It reports latencies itself only in whole
// milliseconds, so they are recorded here from its events, in microseconds.
import autocannon from "autocannon";
import * as hdr from "hdr-histogram-js";
import { obey } from "./orders.mjs";

const HIGHEST_US = 60_000_000;
const SECOND_US = 1_000_000;

/**
 * `amount` requests over `connections`, or `rate` requests a second for `seconds`. With a rate, the latency of requests that
 * a stall kept from being sent counts too (the correction for coordinated omission).
 */
async function load({ port, path, cookies = [], connections, amount, rate, seconds }) {
  const histogram = hdr.build({
    lowestDiscernibleValue: 1,
    highestTrackableValue: HIGHEST_US,
    numberOfSignificantValueDigits: 3,
  });
  const interval = rate ? (connections * SECOND_US) / rate : 0;
  const options = {
    url: `http://127.0.0.1:${port}/${path}`,
    connections,
    timeout: 30,
    // It looks this often, in milliseconds, whether it is done.
    sampleInt: 5,
    ...(rate ? { overallRate: rate, duration: seconds, ignoreCoordinatedOmission: true } : { amount }),
  };
  let next = 0;
  if (cookies.length > 0) {
    const requests = cookies.map((cookie) => ({ method: "GET", path: `/${path}`, headers: { cookie } }));
    options.setupClient = (client) => {
      // Each connection has its share of the sessions.
      const share = requests.filter((_, index) => index % connections === next % connections);
      next += 1;
      client.setRequests(share);
    };
  }
  const instance = autocannon(options);
  const began = performance.now();
  let last = began;
  let failed = 0;
  instance.on("response", (_client, status, _bytes, milliseconds) => {
    last = performance.now();
    if (status !== 200) failed += 1;
    const us = Math.min(HIGHEST_US, Math.max(1, Math.round(milliseconds * 1000)));
    if (interval) histogram.recordValueWithExpectedInterval(us, interval);
    else histogram.recordValue(us);
  });
  const result = await instance;
  if (failed > 0 || result.errors > 0) throw new Error(`${path}: ${failed} wrong answers, ${result.errors} errors`);
  const inMs = (percentile) => histogram.getValueAtPercentile(percentile) / 1000;
  const answered = result["2xx"];
  return { answered, seconds: (last - began) / 1000, p50: inMs(50), p99: inMs(99), max: histogram.maxValue / 1000 };
}

obey({ load });
