// Status codes over time.
"use strict";

(() => {
  const { number, requests, dayLabel, longDay, links, axis, statusColor } = window.fmdCharts;

  /** Requests by hour or day, stacked by status code; the worst on top. */
  function statuses(data, color, width) {
    const seen = new Map();
    const starts = data.steps.map(([from]) => from);
    const hourly = data.unit === "hour";
    const clock = (iso) => iso.slice(11, 16);
    const datasets = data.series.map((series) => ({
      label: series.name,
      data: series.hits,
      backgroundColor: series.code ? statusColor(color, series.code, seen) : color("series-other"),
      borderColor: color("surface"),
      borderWidth: { top: 1 },
      borderSkipped: false,
      maxBarThickness: 64,
      categoryPercentage: 0.86,
      barPercentage: 1,
    }));
    const target = (_, event) => {
      const [bar] = event.chart.getElementsAtEventForMode(
        event.native, "nearest", { intersect: true }, false,
      );
      if (!bar) return null;
      const url = new URL(data.requests_url, location.href);
      const [from, to] = data.steps[bar.index];
      url.searchParams.set("from", from);
      url.searchParams.set("to", to);
      const { code, name } = data.series[bar.datasetIndex];
      if (code) url.searchParams.set("status", name);
      return url.href;
    };
    return {
      height: width < 500 ? 300 : 340,
      config: {
        type: "bar",
        data: { labels: starts, datasets },
        options: {
          interaction: { mode: "index", intersect: false },
          ...links(target),
          plugins: {
            legend: {
              position: "bottom",
              labels: {
                color: color("text"), boxWidth: 10, boxHeight: 10, padding: 12,
                generateLabels: (chart) =>
                  Chart.defaults.plugins.legend.labels.generateLabels(chart).map((label) => ({
                    ...label, lineWidth: 0,
                  })),
              },
            },
            tooltip: {
              filter: (item) => item.raw > 0,
              callbacks: {
                title: ([item]) => {
                  if (!item) return "";
                  const [from, to] = data.steps[item.dataIndex];
                  const day = longDay(from.slice(0, 10));
                  return hourly ? `${day}, ${clock(from)}–${clock(to)}` : day;
                },
                label: (item) => ` ${item.dataset.label}: ${number.format(item.raw)}`,
                footer: ([item]) =>
                  item
                    ? `All: ${requests(data.totals[item.dataIndex])}, errors: ${number.format(data.errors[item.dataIndex])}`
                    : "",
              },
            },
          },
          scales: {
            x: axis(color, {
              stacked: true,
              grid: { display: false },
              ticks: {
                maxRotation: 0,
                autoSkipPadding: 12,
                callback: (index) => {
                  const day = dayLabel(starts[index].slice(0, 10), { day: "numeric", month: "short" });
                  return hourly && clock(starts[index]) !== "00:00" ? clock(starts[index]) : day;
                },
              },
            }),
            y: axis(color, { stacked: true, beginAtZero: true, ticks: { precision: 0, maxTicksLimit: 7 } }),
          },
        },
      },
    };
  }

  Object.assign((window.fmdDrawings ??= {}), { statuses });
})();
