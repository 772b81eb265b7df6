// Shows how far a running deletion is, and the page anew once it is done.
"use strict";

(() => {
  const state = document.querySelector("#prune-state[data-running]");
  if (!state) return;
  const progress = document.getElementById("prune-progress");

  async function look() {
    const response = await fetch(state.dataset.url, { headers: { Accept: "application/json" } });
    if (!response.ok) return;
    const { running } = await response.json();
    if (!running) {
      location.reload();
      return;
    }
    progress.textContent = `${running.rows.toLocaleString("en")} rows deleted so far`;
  }

  // A look that fails is followed by the next one.
  setInterval(() => {
    if (!document.hidden) look().catch(() => {});
  }, 2000);
})();
