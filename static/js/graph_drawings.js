// Icicle and sunburst of an execution tree: each gives Chart.js its configuration, a height in
// pixels, which item each drawn element stands for, and the item that was zoomed into: all of the
// tree if the one asked for is not shown.
"use strict";

window.fmdGraphDrawings = (() => {
  const { fade, ms, clip, axis, number } = window.fmdCharts;
  const ROW_HEIGHT = 24;
  const ROWS = 40;
  const RINGS = 7;
  const SMALLEST_ARC = 0.003;
  const LABEL_PX = 34;
  const CHARACTER_PX = 6.3;

  /** Where each item lies: {item, start, end, depth}, start and end in µs of all requests. */
  function layout(tree) {
    const boxes = [];
    const waiting = [{ item: tree.root, start: 0, end: tree.root.total, depth: 0 }];
    while (waiting.length) {
      const box = waiting.pop();
      boxes.push(box);
      let start = box.start;
      for (const item of tree.below(box.item)) {
        // Rounded parts may reach a little over the whole.
        const end = Math.min(start + item.total, box.end);
        waiting.push({ item, start, end, depth: box.depth + 1 });
        start = end;
      }
    }
    return boxes;
  }

  /** A colour a file for the host's code, grey for libraries. */
  function painter(tree, color) {
    const files = new Map();
    for (const node of tree.nodes) {
      if (node.line?.own && !files.has(node.line.file)) files.set(node.line.file, files.size % 9 + 1);
    }
    return (item, opacity) => {
      const own = item.line?.own && !tree.isFold(item);
      return fade(color(own ? `series-${files.get(item.line.file)}` : "series-other"), opacity);
    };
  }

  function tooltip(tree, words, boxAt) {
    return {
      displayColors: false,
      filter: (item) => Boolean(boxAt(item.datasetIndex, item.dataIndex)),
      callbacks: {
        title: ([item]) => {
          const box = item && boxAt(item.datasetIndex, item.dataIndex);
          return box ? clip(words(tree, box.item).code, 70) : "";
        },
        label: (context) => {
          const { item } = boxAt(context.datasetIndex, context.dataIndex);
          const share = (100 * tree.share(item)).toFixed(1);
          const lines = [
            `${ms(tree.mean(item) / 1000)} a request, ${share} % of the time`,
            `in itself ${ms(tree.mean(item, "self") / 1000)}`,
            `in ${number.format(item.requests)} of ${number.format(tree.requests)} requests`,
          ];
          const { where } = words(tree, item);
          return item.line && where ? [where, ...lines] : lines;
        },
      },
    };
  }

  const labels = {
    id: "fmdLabels",
    afterDatasetsDraw(chart, _args, { boxes, text, color }) {
      const { ctx, chartArea } = chart;
      ctx.save();
      ctx.font = `11.5px ${Chart.defaults.font.family}`;
      ctx.fillStyle = color;
      ctx.textBaseline = "middle";
      chart.getDatasetMeta(0).data.forEach((bar, index) => {
        const left = Math.max(Math.min(bar.base, bar.x), chartArea.left);
        const width = Math.min(Math.max(bar.base, bar.x), chartArea.right) - left;
        if (width < LABEL_PX) return;
        ctx.fillText(clip(text(boxes[index]), Math.floor((width - 10) / CHARACTER_PX)), left + 5, bar.y + 1);
      });
      ctx.restore();
    },
  };

  function icicle(tree, words, color, width, zoom) {
    const all = layout(tree);
    const paint = painter(tree, color);
    const focus = all.find((box) => box.item === zoom) ?? all[0];
    const span = Math.max(focus.end - focus.start, 1);
    const boxes = all.filter(
      (box) =>
        box.depth < ROWS && box.end > focus.start && box.start < focus.end &&
        ((box.end - box.start) / span) * width >= 1,
    );
    const rows = Math.max(...boxes.map((box) => box.depth)) + 1;
    const at = (_, index) => boxes[index];
    return {
      boxes: boxes.map((box, index) => ({ ...box, dataset: 0, index })),
      height: rows * ROW_HEIGHT + 26,
      config: {
        type: "bar",
        data: {
          labels: [...Array(rows).keys()].map(String),
          datasets: [{
            data: boxes.map((box) => ({
              x: [Math.max(box.start, focus.start), Math.min(box.end, focus.end)], y: String(box.depth),
            })),
            grouped: false,
            barThickness: ROW_HEIGHT - 2,
            backgroundColor: boxes.map((box) => paint(box.item, box.item === tree.root ? 0.18 : 0.34)),
            borderColor: color("surface"),
            borderWidth: 1,
            borderRadius: 3,
            borderSkipped: false,
            hoverBackgroundColor: boxes.map((box) => paint(box.item, 0.55)),
            hoverBorderColor: color("text"),
          }],
        },
        options: {
          indexAxis: "y",
          interaction: { mode: "point", intersect: true },
          plugins: {
            legend: { display: false },
            tooltip: tooltip(tree, words, at),
            fmdLabels: {
              boxes, color: color("text"),
              text: (box) => `${words(tree, box.item).code}  ${ms(tree.mean(box.item) / 1000)}`,
            },
          },
          scales: {
            x: axis(color, {
              type: "linear", min: focus.start, max: focus.end, grid: { display: false },
              afterBuildTicks: (scale) => {
                const steps = width < 500 ? [0, 0.5, 1] : [0, 0.25, 0.5, 0.75, 1];
                scale.ticks = steps.map((step) => ({ value: focus.start + span * step }));
              },
              ticks: {
                maxRotation: 0, align: "inner",
                callback: (value) => value === focus.start ? "0 ms" : ms((value - focus.start) / 1000 / Math.max(tree.requests, 1)),
              },
            }),
            y: axis(color, { type: "category", grid: { display: false }, ticks: { display: false } }),
          },
        },
        plugins: [labels],
      },
      at,
      focus: focus.item,
    };
  }

  const centre = {
    id: "fmdCentre",
    afterDatasetsDraw(chart, _args, { text, color }) {
      const arc = chart.getDatasetMeta(0).data[0];
      if (!arc) return;
      const { ctx } = chart;
      ctx.save();
      ctx.font = `650 14px ${Chart.defaults.font.family}`;
      ctx.fillStyle = color;
      ctx.textAlign = "center";
      ctx.textBaseline = "middle";
      ctx.fillText(text, arc.x, arc.y);
      ctx.restore();
    },
  };

  function ring(boxes, focus) {
    const arcs = [];
    const values = [];
    let reached = focus.start;
    const add = (end, box) => {
      if (end <= reached) return;
      values.push(end - reached);
      arcs.push(box);
      reached = end;
    };
    for (const box of boxes) {
      add(box.start, null);
      add(box.end, box);
    }
    add(focus.end, null);
    return { arcs, values };
  }

  function sunburst(tree, words, color, width, zoom) {
    const all = layout(tree);
    const paint = painter(tree, color);
    const focus = all.find((box) => box.item === zoom) ?? all[0];
    const least = SMALLEST_ARC * (focus.end - focus.start);
    const inside = all.filter(
      (box) =>
        box.depth > focus.depth && box.depth <= focus.depth + RINGS && box.start >= focus.start &&
        box.end <= focus.end && box.end - box.start > least,
    );
    const deepest = Math.max(focus.depth + 1, ...inside.map((box) => box.depth));
    const rings = [];
    // Chart.js draws the first dataset outermost.
    for (let depth = deepest; depth > focus.depth; depth -= 1) {
      const boxes = inside.filter((box) => box.depth === depth).sort((a, b) => a.start - b.start);
      rings.push({ depth, ...ring(boxes, focus) });
    }
    const at = (dataset, index) => rings[dataset]?.arcs[index];
    const drawn = [];
    rings.forEach(({ arcs }, dataset) => arcs.forEach((box, index) => box && drawn.push({ ...box, dataset, index })));
    const strength = (depth) => 0.92 - 0.07 * (depth - focus.depth - 1);
    return {
      boxes: drawn,
      height: Math.min(width, 440),
      config: {
        type: "doughnut",
        data: {
          datasets: rings.map(({ depth, arcs, values }) => ({
            data: values,
            backgroundColor: arcs.map((box) => (box ? paint(box.item, strength(depth)) : "transparent")),
            hoverBackgroundColor: arcs.map((box) => (box ? paint(box.item, 1) : "transparent")),
            borderColor: arcs.map((box) => (box ? color("surface") : "transparent")),
            hoverBorderColor: arcs.map((box) => (box ? color("text") : "transparent")),
            borderWidth: 1,
          })),
        },
        options: {
          cutout: "18%",
          interaction: { mode: "point", intersect: true },
          plugins: {
            legend: { display: false },
            tooltip: tooltip(tree, words, at),
            fmdCentre: { text: ms(tree.mean(focus.item) / 1000), color: color("text") },
          },
        },
        plugins: [centre],
      },
      at,
      focus: focus.item,
    };
  }

  return { icicle, sunburst };
})();
