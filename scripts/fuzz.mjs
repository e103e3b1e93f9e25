// `npm run fuzz -- --minutes 10`: hostile input for the parsers, at random, for as long as there is time. What it takes is
// said in test/fuzz/run.ts.
import { exitWith, prepare } from "./setup.mjs";

try {
  prepare();
} catch (error) {
  exitWith(error);
}
// Only now: before prepare() there may have been no tsx to import.
const { register } = await import("tsx/esm/api");
register();
await import("../test/fuzz/run.ts");
