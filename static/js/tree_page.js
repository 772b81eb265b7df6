// Loads the execution tree of the page, and connects its controls and the graph with it.
"use strict";

(() => {
  const root = document.querySelector("[data-tree]");
  const status = root.querySelector("[data-tree-status]");
  const find = (name) => document.querySelector(`[data-tree-${name}]`);

  function connectSearch(tree, view) {
    const input = find("search");
    const note = document.getElementById("tree-found");
    let matches = [];
    let at = -1;

    function tell() {
      if (!input.value.trim()) note.textContent = "";
      else note.textContent = matches.length ? `${at + 1} of ${matches.length}` : "none";
    }

    function go(step) {
      if (!matches.length) return;
      at = (at + step + matches.length) % matches.length;
      view.show(matches[at]);
      tell();
    }

    input.addEventListener("input", () => {
      matches = tree.find(input.value);
      view.found = new Set(matches.map((node) => node.id));
      at = -1;
      if (matches.length) go(1);
      else {
        tree.wanted.clear();
        view.update();
      }
      tell();
    });
    input.addEventListener("keydown", (event) => {
      if (event.key === "Enter") {
        event.preventDefault();
        go(event.shiftKey ? -1 : 1);
      } else if (event.key === "ArrowDown") {
        event.preventDefault();
        view.table.focus();
      }
    });
  }

  function connectControls(tree, view) {
    const metrics = [...document.querySelectorAll("[data-tree-metric]")];
    const names = view.grouped ? { total: "Total", self: "Self" } : { total: "Time", self: "Self time" };
    for (const button of metrics) {
      button.addEventListener("click", () => {
        view.metric = button.dataset.treeMetric;
        for (const other of metrics) other.setAttribute("aria-pressed", String(other === button));
        root.querySelector("[data-tree-metric-name]").textContent = names[view.metric];
        view.update();
      });
    }
    const threshold = find("threshold");
    const fold = find("fold");
    function apply() {
      tree.threshold = Number(threshold.value);
      tree.fold = fold.value === "fold";
      tree.wanted.clear();
      view.update();
    }
    threshold.addEventListener("change", apply);
    fold.addEventListener("change", apply);
    apply();
  }

  async function start() {
    let data;
    try {
      const response = await fetch(root.dataset.url, { headers: { Accept: "application/json" } });
      if (!response.ok || response.redirected) throw new Error(`HTTP ${response.status}`);
      data = await response.json();
    } catch (error) {
      status.textContent = `The whole tree could not be loaded (${error.message}). Load the page again.`;
      return;
    }
    const tree = new window.fmdCallTree.CallTree(data);
    const listener = {};
    const view = new window.fmdTreeView.TreeView(root, tree, listener);
    connectControls(tree, view);
    connectSearch(tree, view);
    const figure = document.querySelector("[data-graph]");
    if (!figure) return;
    // A pause, so that the page can be used before the graph is drawn.
    await new Promise((resolve) => { setTimeout(resolve); });
    window.fmdGraph.connect(figure, tree, view, listener);
  }

  start();
})();
