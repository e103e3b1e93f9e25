import { describeExample, describeSuite } from "../support/frameworks/framework.ts";

describeExample("react-router", { builds: true });

describeSuite("react-router", {
  builds: true,
  more: [
    "keeps what parallel loaders of one page write, and stores it once",
    "sets one cookie for a session that parallel loaders begin",
    "keeps what 200 parallel loaders append",
    "keeps what another tab writes while an action works that redirects",
    "stores what an action writes that throws a redirect, and sets its cookie",
    "gives the loaders after an action the session that the action changed",
    "stores what a loader writes that throws, and shows the error boundary",
    "answers with the status of a SessionError that a loader throws",
    "stores what a streamed promise writes, before the last byte",
    "ends a session that signs out in one tab while another streams",
    "does not extend the session for a link that prefetches",
    "has nothing to do with the manifest of lazy route discovery",
    "sends a visitor of a guarded page to the login page, also where the browser fetches its data",
    "refuses the session to a page that is rendered by the build",
    "has nothing of the server in the client's bundle",
  ],
});
