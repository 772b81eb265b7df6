// Draws every <figure data-chart>: its data comes from data-url, its colours from CSS variables.
// Stands before the chart library in the page; where that does not load, the data tables open.
"use strict";

(() => {
  const drawings = window.fmdDrawings;
  const figures = [...document.querySelectorAll("figure[data-chart]")];
  const charts = new Map();
  const loaded = new Map();
  const asked = new Map();

  function draw(figure) {
    const box = figure.querySelector(".chart-box");
    const color = window.fmdCharts.palette();
    charts.get(figure)?.destroy();
    figure.classList.remove("no-library");
    figure.querySelector(".chart-note").hidden = true;
    const { config, height, width = 0 } = drawings[figure.dataset.chart](
      loaded.get(figure), color, box.clientWidth,
    );
    box.style.height = `${height}px`;
    // Where a drawing needs more room than there is, it is scrolled inside its frame.
    box.style.minWidth = `${width}px`;
    window.fmdCharts.useFont();
    config.options.plugins.tooltip = { ...window.fmdCharts.tooltip(color), ...config.options.plugins.tooltip };
    Object.assign(config.options, { animation: false, maintainAspectRatio: false, responsive: true });
    charts.set(figure, new Chart(figure.querySelector("canvas"), config));
    const reset = resetOf(figure);
    if (reset) reset.hidden = true;
  }

  function resetOf(figure) {
    return figure.closest(".chart-card")?.querySelector("[data-reset-zoom]");
  }

  for (const figure of figures) {
    const reset = resetOf(figure);
    // The drawing tells of a zoom by this event on its canvas.
    figure.addEventListener("fmd:zoom", () => { if (reset) reset.hidden = false; });
    reset?.addEventListener("click", () => {
      charts.get(figure)?.resetZoom("none");
      reset.hidden = true;
    });
  }

  function giveUp(figure, message) {
    const note = figure.querySelector(".chart-note");
    figure.classList.add("no-library");
    note.hidden = false;
    if (message) note.textContent = message;
    // Several charts of a page may share one table.
    const table = figure.parentElement.querySelector(".data-table") ?? document.querySelector(".data-table");
    if (table) table.open = true;
  }

  async function ask(url) {
    const response = await fetch(url, { headers: { Accept: "application/json" } });
    if (!response.ok || response.redirected) throw new Error(`HTTP ${response.status}`);
    return response.json();
  }

  async function load(figure) {
    const { url } = figure.dataset;
    // Several charts of a page may draw the same figures.
    if (!asked.has(url)) asked.set(url, ask(url));
    try {
      loaded.set(figure, await asked.get(url));
    } catch (error) {
      giveUp(figure, `The figures of the chart could not be loaded (${error.message}). Load the page again.`);
      return;
    }
    draw(figure);
  }

  window.fmdCharts.whenLibraryIsThere(
    () => figures.forEach(load),
    () => figures.forEach((figure) => giveUp(figure)),
  );
  document.addEventListener("fmd:theme", () => [...charts.keys()].forEach(draw));
})();
