import { describeExample, describeSuite } from "../support/frameworks/framework.ts";

describeExample("tanstack-start", { builds: true });

describeSuite("tanstack-start", {
  builds: true,
  more: [
    "keeps what parallel server functions of one page write, and stores it once",
    "sets one cookie for a session that parallel server functions begin",
    "keeps what 200 parallel pages append",
    "keeps what another tab writes while a server function works that redirects",
    "stores what a server function writes that throws a redirect, notFound() or an error, and sets its cookie",
    "redirects where a route of the server calls a server function that does",
    "tells caches of the session and of its cookie, whatever setResponseHeader() has said",
    "answers 503 where a change can't be stored, whatever setResponseStatus() and setResponseHeader() have said",
    "stores what a streamed promise writes, before the last byte",
    "ends a session that signs out in one tab while another streams",
    "does not extend the session for a page that a browser prefetches",
    "refuses the session to a page that is rendered by the build",
    "refuses a server function to a visitor by a middleware that uses the session",
    "has nothing of the server in the client's bundle",
  ],
});
