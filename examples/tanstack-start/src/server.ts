import handler, { createServerEntry } from "@tanstack/react-start/server-entry";
// Start would load it at the first request. Loaded now, it refuses to start without a secret key.
import "./sessions.ts";

export default createServerEntry({ fetch: handler.fetch });
