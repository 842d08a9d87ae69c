// Adds replaying and purging dead letters to apalis-board. The board is a separate application; this
// watches its address and adds a bar to a job's page.
(() => {
  "use strict";

  // The board requires addresses at the root.
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
    const response = await fetch(path, { method, headers: { "x-avalon-board": "1" } });
    text.textContent = response.ok ? done : `failed: ${response.status}`;
  };
  const retry = button("Retry", () => send("POST", `/board/jobs/${shown().id}/retry`, "queued again"));
  const purge = button("Purge", () => {
    if (confirm("Delete this dead letter for good?")) {
      send("DELETE", `/board/jobs/${shown().id}`, "deleted");
    }
  });
  bar.append(text, retry, purge);

  let path = null;
  const update = async () => {
    if (!bar.isConnected && document.body) document.body.append(bar);
    if (location.pathname === path) return;
    path = location.pathname;
    const job = shown();
    bar.style.display = "none";
    if (!job) return;
    const response = await fetch(`/api/v1/queues/${job.queue}/tasks/${job.id}`);
    if (!response.ok || location.pathname !== path) return;
    const dead = (await response.json()).ctx.status === "Killed";
    text.textContent = dead ? "dead letter" : "";
    retry.disabled = purge.disabled = false;
    bar.style.display = dead ? "flex" : "none";
  };
  setInterval(update, 300);
})();
