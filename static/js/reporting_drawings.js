// The chart of the page Reporting: the median of each endpoint before and after.
"use strict";

(() => {
  const { requests, fade, ms, clip, links, axis, durationAxis } = window.fmdCharts;
  const TONES = { slower: "bad", faster: "ok" };

  /** A line from the median before (hollow) to the one after (filled), for each endpoint. */
  function dumbbell(data, color, width) {
    const rows = data.endpoints.filter((row) => row.drawn);
    const [first, second] = data.intervals.map((side) => side.name);
    const tone = ({ verdicts }) =>
      color(verdicts.map(({ kind }) => TONES[kind]).find(Boolean) ?? "series-1");
    const colors = rows.map(tone);
    // A logarithmic axis has no 0: it is drawn where the axis begins.
    const drawn = (value) => Math.max(value, 0.001);
    const before = rows.map((row) => drawn(row.before.median_ms));
    const after = rows.map((row) => drawn(row.after.median_ms));
    const smallest = Math.min(...before, ...after);
    const largest = Math.max(...before, ...after, smallest * 2);
    const points = (label, values, fill) => ({
      type: "line", label, data: values, showLine: false, pointBackgroundColor: fill,
      pointBorderColor: colors, pointBorderWidth: 2, pointRadius: 5, pointHoverRadius: 6,
      pointHoverBackgroundColor: fill, pointHoverBorderColor: colors,
    });
    const change = (row) => {
      // Of nothing there is no percentage.
      if (!row.before.median_ms) return [];
      const part = row.after.median_ms / row.before.median_ms - 1;
      const percent = Math.abs(100 * part).toFixed(Math.abs(part) < 0.0995 ? 1 : 0);
      return [`median ${part < 0 ? "−" : "+"}${percent} %`];
    };
    const lines = (row) => [
      `${first}: ${ms(row.before.median_ms)}, ${requests(row.before.hits)}`,
      `${second}: ${ms(row.after.median_ms)}, ${requests(row.after.hits)}`,
      ...change(row),
    ];
    return {
      height: 30 * rows.length + 96,
      config: {
        type: "bar",
        data: {
          labels: rows.map((row) => row.name),
          datasets: [
            points(second, after, colors),
            points(first, before, color("surface")),
            {
              label: "change",
              data: rows.map((row, index) => [before[index], after[index]].sort((a, b) => a - b)),
              backgroundColor: colors.map((one) => fade(one, 0.45)),
              hoverBackgroundColor: colors.map((one) => fade(one, 0.45)),
              barThickness: 4,
              borderSkipped: false,
            },
          ],
        },
        options: {
          indexAxis: "y",
          interaction: { mode: "index", axis: "y", intersect: false },
          ...links(({ index }) => rows[index].url),
          plugins: {
            legend: {
              position: "top",
              align: "start",
              // What is hollow and what is filled; a click would take half of each pair away.
              onClick: () => {},
              labels: {
                color: color("text"), usePointStyle: true, boxHeight: 7, padding: 14,
                generateLabels: () => [
                  { text: first, fillStyle: color("surface"), datasetIndex: 1 },
                  { text: second, fillStyle: color("muted"), datasetIndex: 0 },
                ].map((label) => ({
                  ...label, text: clip(label.text, 32), fontColor: color("text"),
                  strokeStyle: color("muted"), lineWidth: 2, pointStyle: "circle",
                })),
              },
            },
            tooltip: {
              displayColors: false,
              filter: (item) => item.datasetIndex === 0,
              callbacks: {
                title: ([item]) => (item ? rows[item.dataIndex].name : ""),
                label: (item) => lines(rows[item.dataIndex]),
              },
            },
          },
          scales: {
            x: durationAxis(color, smallest, largest, "Median duration", rows.length > 14),
            y: axis(color, {
              grid: { display: false },
              ticks: {
                autoSkip: false,
                color: color("text"),
                callback: (index) => clip(rows[index].name, width < 500 ? 14 : 40),
              },
            }),
          },
        },
      },
    };
  }

  Object.assign((window.fmdDrawings ??= {}), { dumbbell });
})();
