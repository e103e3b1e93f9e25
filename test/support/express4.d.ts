/** Express 4 under another name, for tests that run on both; the types of Express 5 say enough of it. */
declare module "express4" {
  export { default } from "express";
}
