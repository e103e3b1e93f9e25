/**
 * Ends this process with the npm that runs it. npm ends the shell between it and this process, and nobody else: a server that
 * is stopped by npm's id would stay.
 */
export function endWithNpm(script) {
  if (process.env.npm_lifecycle_event !== script) return;
  const shell = process.ppid;
  const check = setInterval(() => {
    if (process.ppid === shell) return;
    clearInterval(check);
    process.kill(process.pid, "SIGTERM");
  }, 500);
  check.unref();
}
