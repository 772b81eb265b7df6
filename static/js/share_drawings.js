// Bars of shares: what each version was asked for, what each endpoint answered.
"use strict";

(() => {
  const { number, requests, percent, mix, clip, clipFront, links, axis, statusColor } = window.fmdCharts;

  /** One bar a version or endpoint, cut in the shares of its requests. */
  function shares(data, color, width) {
    const { bars } = data;
    const narrow = width < 500;
    const seen = new Map();
    const fill = (series, index) => {
      if (series.other) return color("series-other");
      if (series.code) return statusColor(color, series.code, seen);
      const own = color(`series-${(index % 9) + 1}`);
      return index < 9 ? own : mix(own, color("surface"), 0.5);
    };
    const datasets = data.series.map((series, index) => ({
      label: series.name,
      data: bars.map((bar) => bar.hits[index] / bar.total),
      backgroundColor: fill(series, index),
      borderColor: color("surface"),
      borderWidth: { right: 1 },
      borderSkipped: false,
      maxBarThickness: 26,
      categoryPercentage: 0.86,
      barPercentage: 1,
    }));
    const target = (_, event) => {
      const [found] = event.chart.getElementsAtEventForMode(
        event.native, "nearest", { intersect: true }, false,
      );
      if (!found) return null;
      const url = new URL(bars[found.index].url, location.href);
      const series = data.series[found.datasetIndex];
      if (!series.other) url.searchParams.set(data.filter, series.name);
      return url.href;
    };
    const barHeight = bars.length > 14 ? 20 : bars.length < 4 ? 44 : 30;
    return {
      height: barHeight * bars.length + 84 + (narrow ? 24 * Math.ceil(datasets.length / 2) : 24),
      config: {
        type: "bar",
        data: { labels: bars.map((bar) => bar.name), datasets },
        options: {
          indexAxis: "y",
          interaction: { mode: "nearest", intersect: true },
          ...links(target),
          plugins: {
            legend: {
              // Above many bars the legend stays in sight.
              position: bars.length > 14 ? "top" : "bottom",
              labels: {
                color: color("text"), boxWidth: 10, boxHeight: 10, padding: 12,
                generateLabels: (chart) =>
                  Chart.defaults.plugins.legend.labels.generateLabels(chart).map((label) => ({
                    ...label, text: narrow ? clipFront(label.text, 18) : clip(label.text, 32), lineWidth: 0,
                  })),
              },
            },
            tooltip: {
              callbacks: {
                title: ([item]) => bars[item.dataIndex].name,
                label: (item) =>
                  ` ${item.dataset.label}: ${percent(item.raw)}, ` +
                  number.format(bars[item.dataIndex].hits[item.datasetIndex]),
                footer: ([item]) => `All: ${requests(bars[item.dataIndex].total)}`,
              },
            },
          },
          scales: {
            x: axis(color, {
              stacked: true,
              min: 0,
              max: 1,
              position: bars.length > 14 ? "top" : "bottom",
              ticks: {
                maxRotation: 0,
                stepSize: narrow ? 0.25 : 0.1,
                callback: (value) => `${Math.round(100 * value)} %`,
              },
            }),
            y: axis(color, {
              stacked: true,
              grid: { display: false },
              ticks: {
                autoSkip: false,
                color: color("text"),
                callback: (index) => (narrow ? clipFront(bars[index].name, 14) : clip(bars[index].name, 40)),
              },
            }),
          },
        },
      },
    };
  }

  Object.assign((window.fmdDrawings ??= {}), { shares });
})();
