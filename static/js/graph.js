// The graph above the grouped profiler's table: icicle or sunburst. A click zooms in and selects
// the line in the table; a line that is pointed at there stands out here, and the other way round.
"use strict";

window.fmdGraph = (() => {
  const { palette, useFont, tooltip, ms } = window.fmdCharts;
  const { words } = window.fmdTreeView;
  let state = "loading";
  let whenReady = null;

  window.fmdCharts.whenLibraryIsThere(
    () => {
      state = "ready";
      whenReady?.();
    },
    () => {
      state = "missing";
      whenReady?.();
    },
  );

  class Graph {
    constructor(figure, tree, view) {
      this.figure = figure;
      this.tree = tree;
      this.view = view;
      this.canvas = figure.querySelector("canvas");
      this.box = figure.querySelector(".chart-box");
      this.path = figure.querySelector("[data-graph-path]");
      this.reset = figure.querySelector("[data-graph-reset]");
      this.kinds = [...document.querySelectorAll("[data-graph-kind]")];
      this.kind = "icicle";
      this.zoom = tree.root;
      this.reset.addEventListener("click", () => this.zoomTo(tree.root));
      for (const button of this.kinds) {
        button.addEventListener("click", () => {
          this.kind = button.dataset.graphKind;
          for (const other of this.kinds) other.setAttribute("aria-pressed", String(other === button));
          this.draw();
        });
      }
      document.addEventListener("fmd:theme", () => this.draw());
    }

    giveUp() {
      this.box.hidden = true;
      this.path.parentElement.hidden = true;
      for (const button of this.kinds) button.disabled = true;
      this.figure.querySelector(".chart-note").hidden = false;
    }

    draw() {
      if (state !== "ready") return;
      this.chart?.destroy();
      useFont();
      const color = palette();
      const make = window.fmdGraphDrawings[this.kind];
      this.drawing = make(this.tree, words, color, this.box.clientWidth, this.zoom);
      // What is hidden as too small, or in no fold any more, cannot be zoomed into.
      this.zoom = this.drawing.focus;
      const { config, height } = this.drawing;
      this.box.style.height = `${height}px`;
      config.options.plugins.tooltip = { ...tooltip(color), ...config.options.plugins.tooltip };
      Object.assign(config.options, {
        animation: false,
        maintainAspectRatio: false,
        responsive: true,
        onClick: (event, elements) => this.clicked(event, elements),
        onHover: (event, elements) => this.hovered(event, elements),
      });
      this.chart = new Chart(this.canvas, config);
      const { code } = words(this.tree, this.zoom);
      const zoomed = this.zoom !== this.tree.root;
      this.reset.hidden = !zoomed;
      this.path.textContent = zoomed
        ? `${code}: ${ms(this.tree.mean(this.zoom) / 1000)} a request`
        : "Click a line to zoom in.";
    }

    itemAt(elements) {
      return elements.length ? this.drawing.at(elements[0].datasetIndex, elements[0].index)?.item : null;
    }

    clicked(event, elements) {
      const item = this.itemAt(elements);
      if (item) this.zoomTo(item === this.zoom && item.parent ? item.parent : item);
      else if (this.kind === "sunburst" && this.inCentre(event)) this.zoomTo(this.zoom.parent ?? this.zoom);
    }

    inCentre(event) {
      const metas = this.chart.getSortedVisibleDatasetMetas();
      const arc = metas.at(-1)?.data[0];
      return arc && Math.hypot(event.x - arc.x, event.y - arc.y) < arc.innerRadius;
    }

    hovered(event, elements) {
      const item = this.itemAt(elements);
      const centre = !item && this.kind === "sunburst" && this.inCentre(event) && this.zoom.parent;
      event.native.target.style.cursor = item || centre ? "pointer" : "";
      for (const row of this.view.body.querySelectorAll(".linked")) row.classList.remove("linked");
      if (item) document.getElementById(`tree-row-${item.id}`)?.classList.add("linked");
    }

    zoomTo(item) {
      this.zoom = item;
      this.draw();
      this.view.show(item, { quiet: true });
    }

    /** Let an item stand out. */
    point(item) {
      if (!this.chart) return;
      const box = item && this.drawing.boxes.find((one) => one.item === item);
      this.chart.setActiveElements(box ? [{ datasetIndex: box.dataset, index: box.index }] : []);
      this.chart.render();
    }
  }

  function connect(figure, tree, view, listener) {
    const graph = new Graph(figure, tree, view);
    let drawn = "";
    // Lines that are opened or closed in the table make no difference here.
    const wanted = () => [tree.threshold, tree.fold, ...tree.revealed].join(" ");
    function refresh() {
      if (wanted() === drawn) return;
      drawn = wanted();
      graph.draw();
    }
    listener.change = refresh;
    listener.select = (item) => graph.point(item);
    listener.hover = (item) => graph.point(item);
    whenReady = () => {
      if (state === "missing") graph.giveUp();
      else {
        figure.querySelector(".chart-note").hidden = true;
        drawn = "";
        refresh();
      }
    };
    if (state !== "loading") whenReady();
  }

  return { connect };
})();
