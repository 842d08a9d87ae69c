// What apalis-board lacks: replaying and purging the dead letter that is being looked at. The board is
// an application of its own; this only watches its address and adds a bar below a job's page.
(() => {
  "use strict";

  // The board knows only addresses from the root.
  if (location.pathname === "/board") history.replaceState(null, "", "/");

  const bar = document.createElement("div");
  bar.id = "avalon-actions";
  bar.style.cssText =
    "position:fixed;right:1rem;bottom:1rem;z-index:1000;display:none;gap:.5rem;align-items:center;" +
    "padding:.5rem .75rem;background:#1a1b1f;border:1px solid #3b3e45;color:#fff;font:14px sans-serif";
  const text = document.createElement("span");
  const button = (label, act) => {
    const it = document.createElement("button");
    it.textContent = label;
    it.style.cssText = "padding:.25rem .75rem;border:1px solid #888;cursor:pointer";
    it.addEventListener("click", act);
    return it;
  };

  const shown = () => {
    const match = location.pathname.match(/^\/queues\/([^/]+)\/tasks\/([0-9A-Z]{26})$/);
    return match && { queue: match[1], id: match[2] };
  };

  const send = async (method, path, done) => {
    retry.disabled = purge.disabled = true;
    const answer = await fetch(path, { method, headers: { "x-avalon-board": "1" } });
    text.textContent = answer.ok ? done : `refused: ${answer.status}`;
  };
  const retry = button("Retry", () => send("POST", `/board/jobs/${shown().id}/retry`, "ready again"));
  const purge = button("Purge", () => {
    if (confirm("Delete this dead letter for good?")) {
      send("DELETE", `/board/jobs/${shown().id}`, "deleted");
    }
  });
  bar.append(text, retry, purge);

  let seen = null;
  const look = async () => {
    if (!bar.isConnected && document.body) document.body.append(bar);
    if (location.pathname === seen) return;
    seen = location.pathname;
    const job = shown();
    bar.style.display = "none";
    if (!job) return;
    const answer = await fetch(`/api/v1/queues/${job.queue}/tasks/${job.id}`);
    if (!answer.ok || location.pathname !== seen) return;
    const dead = (await answer.json()).ctx.status === "Killed";
    text.textContent = dead ? "dead letter" : "";
    retry.disabled = purge.disabled = false;
    bar.style.display = dead ? "flex" : "none";
  };
  setInterval(look, 300);
})();
