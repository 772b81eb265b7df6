// The drawing of visitors by version. See drawings.js.
"use strict";

(() => {
  const { requests, mix, fade, ms, clip, links, axis } = window.fmdCharts;
  const SMALLEST = 4;
  const LARGEST = 15;
  const ROW = 2 * LARGEST + 4;
  // So far apart that neighbours hardly touch.
  const NARROWEST_COLUMN = 26;

  /** A bubble for each visitor and version: its area grows with the mean duration. */
  function bubbles(data, color, width) {
    const narrow = width < 500;
    const names = data.visitors;
    const labels = narrow ? 14 : 30;
    const longest = Math.max(...names.map((name) => Math.min(name.length, labels)));
    const needed = longest * 7 + 40 + data.versions.length * NARROWEST_COLUMN;
    const room = Math.max(width, needed);
    const column = (room - longest * 7 - 40) / data.versions.length;
    const largest = Math.max(SMALLEST + 2, Math.min(LARGEST, column / 2));
    const slowest = Math.max(...data.bubbles.map((bubble) => bubble.mean_ms));
    const stops = ["series-3", "series-2", "series-5"].map(color);
    /** From as fast as the median over twice to four times as slow. */
    const heat = (ratio) => {
      const steps = Math.min(Math.max(Math.log2(Math.max(ratio ?? 1, 0.01)), 0), 2);
      return steps < 1 ? mix(stops[0], stops[1], steps) : mix(stops[1], stops[2], steps - 1);
    };
    // Versions and visitors by their number: two of them may look the same once they are cut.
    const points = data.bubbles.map((bubble) => ({
      x: bubble.version,
      y: bubble.visitor,
      r: SMALLEST + (largest - SMALLEST) * Math.sqrt(slowest ? bubble.mean_ms / slowest : 0),
    }));
    const colors = data.bubbles.map((bubble) => heat(bubble.against_median));
    const version = (number) => data.versions[number];
    const times = (ratio) => `${ratio < 9.95 ? ratio.toFixed(1) : Math.round(ratio)} times`;
    return {
      height: ROW * names.length + 74,
      width: needed > width ? needed : 0,
      config: {
        type: "bubble",
        data: {
          datasets: [{
            data: points,
            backgroundColor: colors.map((one) => fade(one, 0.75)),
            borderColor: colors,
            borderWidth: 1,
            hoverRadius: 1,
            hoverBorderColor: color("text"),
            hoverBorderWidth: 1.5,
          }],
        },
        options: {
          clip: false,
          ...links(({ index }) => data.bubbles[index].url),
          plugins: {
            legend: { display: false },
            tooltip: {
              displayColors: false,
              callbacks: {
                title: ([item]) => {
                  const bubble = data.bubbles[item.dataIndex];
                  return `${clip(names[bubble.visitor], 60)} · ${clip(version(bubble.version), 30)}`;
                },
                label: (item) => {
                  const { hits, mean_ms, against_median } = data.bubbles[item.dataIndex];
                  const lines = [requests(hits), `mean ${ms(mean_ms)}`];
                  if (against_median !== null) lines.push(`${times(against_median)} the median`);
                  return lines;
                },
              },
            },
          },
          scales: {
            x: axis(color, {
              type: "linear",
              position: names.length > 14 ? "top" : "bottom",
              min: -0.5,
              max: data.versions.length - 0.5,
              title: { display: true, text: "Version, in the order first seen", color: color("muted") },
              afterBuildTicks: (scale) => { scale.ticks = data.versions.map((_, value) => ({ value })); },
              ticks: {
                autoSkip: false,
                maxRotation: 60,
                callback: (value) => clip(version(value), narrow ? 10 : 16),
              },
            }),
            y: axis(color, {
              type: "linear",
              reverse: true,
              min: -0.5,
              max: names.length - 0.5,
              afterBuildTicks: (scale) => { scale.ticks = names.map((_, value) => ({ value })); },
              ticks: { autoSkip: false, color: color("text"), callback: (value) => clip(names[value], labels) },
            }),
          },
        },
      },
    };
  }

  Object.assign((window.fmdDrawings ??= {}), { bubbles });
})();
