// Charts of one endpoint over time. Their steps are categories: equally wide, and labelled on the
// wall clock of the panel's time zone, whatever that of the browser is.
"use strict";

(() => {
  const { number, requests, percent, ms, shortMs, dayLabel, fade, links, axis, markers, zoom } = window.fmdCharts;

  const day = (label) => label.slice(0, 10);
  const clock = (label) => label.slice(11, 16);

  function span(data, index) {
    const [from, to] = [data.labels[index], data.ends[index]];
    const date = dayLabel(day(from), { weekday: "short", day: "numeric", month: "short" });
    if (data.step === "day") return date;
    return `${date}, ${clock(from)}–${clock(to)}`;
  }

  /** Days where there are several, hours within one. */
  function ticks(data) {
    const days = new Set(data.labels.map(day)).size;
    return (index) => {
      const label = data.labels[index];
      if (!label) return null;
      return days > 2
        ? dayLabel(day(label), { day: "numeric", month: "short" })
        : clock(label);
    };
  }

  /** Where a label may stand: at midnights, or at full hours of a short range. */
  function onlyDays(data) {
    const days = new Set(data.labels.map(day)).size;
    return (scale) => {
      if (days <= 2) return;
      const first = scale.ticks.filter(({ value }) =>
        value === 0 ? clock(data.labels[0]) === "00:00" : day(data.labels[value]) !== day(data.labels[value - 1]));
      scale.ticks = first.length ? first : scale.ticks;
    };
  }

  function overTime(data, color, datasets, { height, y, label, footer, type = "line", stacked = false }) {
    return {
      height,
      config: {
        type,
        data: { labels: data.labels, datasets },
        options: {
          interaction: { mode: "index", intersect: false },
          ...links((element) => {
            const url = new URL(data.requests_url, location.href);
            url.searchParams.set("from", data.labels[element.index]);
            url.searchParams.set("to", data.ends[element.index]);
            return url.href;
          }),
          plugins: {
            legend: {
              display: datasets.length > 1,
              position: "top",
              align: "end",
              labels: { color: color("text"), boxWidth: 14, boxHeight: 2, padding: 12 },
            },
            tooltip: {
              itemSort: (a, b) => b.datasetIndex - a.datasetIndex,
              callbacks: {
                title: ([item]) => (item ? span(data, item.dataIndex) : ""),
                label,
                footer,
              },
            },
            annotation: markers(data, color),
            zoom: zoom(color),
          },
          scales: {
            x: axis(color, {
              stacked,
              grid: { display: false },
              afterBuildTicks: onlyDays(data),
              ticks: { maxRotation: 0, autoSkipPadding: 14, callback: ticks(data) },
            }),
            y: axis(color, { stacked, beginAtZero: true, ...y }),
          },
        },
      },
    };
  }

  function line(color, name, label, values, more) {
    // Without neighbours there is no line to see.
    const alone = (index) => values[index - 1] == null && values[index + 1] == null;
    return {
      label, data: values,
      borderColor: color(name), backgroundColor: fade(color(name), 0.1),
      borderWidth: 1.5, pointHoverRadius: 4,
      pointRadius: ({ dataIndex }) => (alone(dataIndex) ? 3.5 : values.length < 40 ? 2 : 0),
      pointBackgroundColor: color(name), pointBorderWidth: 0,
      fill: "origin", tension: 0, spanGaps: false, ...more,
    };
  }

  function durations(data, color, width) {
    const values = (key) => data.points.map((point) => point[key]);
    const sets = [
      line(color, "series-5", "p99", values("p99_ms")),
      line(color, "series-2", "p95", values("p95_ms")),
      line(color, "series-1", "median", values("p50_ms")),
    ];
    if (data.before?.p50_ms) {
      sets.push({
        label: "median before", data: data.points.map(() => data.before.p50_ms),
        borderColor: color("muted"), borderWidth: 1, borderDash: [4, 4], pointRadius: 0, fill: false,
      });
    }
    return overTime(data, color, sets, {
      height: width < 500 ? 260 : 300,
      y: { ticks: { maxTicksLimit: 7, callback: (value) => shortMs(value) } },
      label: (item) => (item.raw === null ? null : ` ${item.dataset.label}: ${ms(item.raw)}`),
      footer: ([item]) => (item ? requests(data.points[item.dataIndex].hits) : ""),
    });
  }

  function bars(color, name, label, values) {
    return {
      label, data: values, backgroundColor: color(name), hoverBackgroundColor: color(name),
      categoryPercentage: 1, barPercentage: 0.86, maxBarThickness: 40,
    };
  }

  function requestsOverTime(data, color, width) {
    const good = data.points.map((point) => point.hits - point.errors);
    const failed = data.points.map((point) => point.errors);
    return overTime(
      data, color,
      [bars(color, "series-1", "Answered well", good), bars(color, "series-5", "Errors", failed)],
      {
        height: width < 500 ? 220 : 240,
        type: "bar",
        stacked: true,
        y: { ticks: { precision: 0, maxTicksLimit: 6 } },
        label: (item) => ` ${item.dataset.label}: ${number.format(item.raw)}`,
        footer: ([item]) => (item ? `All: ${requests(data.points[item.dataIndex].hits)}` : ""),
      },
    );
  }

  function errors(data, color, width) {
    const shares = data.points.map((point) => point.error_share);
    return overTime(data, color, [bars(color, "series-5", "Error share", shares)], {
      height: width < 500 ? 220 : 240,
      type: "bar",
      y: { suggestedMax: 0.01, ticks: { maxTicksLimit: 6, callback: percent } },
      label: (item) => {
        const { errors: failed, hits } = data.points[item.dataIndex];
        return ` ${percent(item.raw)}: ${number.format(failed)} of ${requests(hits)}`;
      },
    });
  }

  Object.assign((window.fmdDrawings ??= {}), { durations, requests: requestsOverTime, errors });
})();
