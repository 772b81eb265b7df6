// The charts by their kind: each gives Chart.js its configuration and a height in pixels, from the
// page's data, a function that gives colours by name, and the width there is. Other files add more.
"use strict";

(() => {
  const {
    number, requests, mix, fade, ms, dayLabel, longDay, shortDay, clip, hourEdges, requestsUrl,
    links, axis, durationAxis, markers,
  } = window.fmdCharts;

  /** Hits by day and hour; the colour grows with the square root of the hits. */
  function matrix(data, color, width) {
    const cells = [];
    data.days.forEach((day, index) => {
      data.hits[index].forEach((hits, hour) => {
        if (hits !== null) cells.push({ x: String(hour), y: day, hits });
      });
    });
    // Chart.js puts the first category at the bottom: the newest day ends up on top.
    const days = data.days;
    const rowHeight = Math.max(4, Math.min(width < 500 ? 24 : 32, 700 / days.length + 4));
    const gap = rowHeight > 10 ? 2 : 0;
    const stops = ["heat-low", "heat-mid", "heat-high"].map(color);
    const heat = (share) =>
      share < 0.5 ? mix(stops[0], stops[1], 2 * share) : mix(stops[1], stops[2], 2 * share - 1);
    const fill = ({ raw }) =>
      raw.hits === 0
        ? "transparent"
        : heat(Math.sqrt(raw.hits / data.peak));
    const clock = (hour) => `${String(hour).padStart(2, "0")}:00`;
    return {
      height: Math.max(rowHeight * days.length + 34, 90),
      config: {
        type: "matrix",
        data: {
          datasets: [{
            data: cells,
            backgroundColor: fill,
            borderColor: ({ raw }) => (raw.hits === 0 ? color("grid") : "transparent"),
            borderWidth: ({ raw }) => (raw.hits === 0 && gap ? 1 : 0),
            borderRadius: gap ? 3 : 0,
            hoverBorderColor: color("text"),
            hoverBorderWidth: 1.5,
            width: ({ chart }) => Math.max((chart.chartArea?.width ?? 0) / 24 - gap, 1),
            height: ({ chart }) => Math.max((chart.chartArea?.height ?? 0) / days.length - gap, 1),
          }],
        },
        options: {
          ...links(({ index }) => {
            const { x, y, hits } = cells[index];
            return hits && requestsUrl(data, hourEdges(y, Number(x)));
          }),
          plugins: {
            legend: { display: false },
            tooltip: {
              displayColors: false,
              callbacks: {
                title: ([item]) =>
                  `${longDay(item.raw.y)}, ${clock(item.raw.x)}–${clock(Number(item.raw.x) + 1)}`,
                label: (item) => requests(item.raw.hits),
              },
            },
          },
          scales: {
            x: axis(color, {
              type: "category",
              labels: [...Array(24).keys()].map(String),
              offset: true,
              grid: { display: false },
              ticks: {
                autoSkip: false,
                maxRotation: 0,
                callback: (hour) => (hour % (width < 500 ? 6 : 3) === 0 ? clock(hour) : null),
              },
            }),
            y: axis(color, {
              type: "category",
              labels: days,
              offset: true,
              grid: { display: false },
              ticks: {
                maxTicksLimit: 40,
                callback: (index) => (width < 500 ? days[index].slice(5) : shortDay(days[index])),
              },
            }),
          },
        },
      },
    };
  }

  /** Hits a day, stacked by endpoint; with a noun they are no requests. */
  function stacked(data, color, width) {
    const counted = data.noun ? (value) => `${number.format(value)} ${data.noun}` : requests;
    const fill = (series, index) =>
      color(series.other ? "series-other" : `series-${(index % 9) + 1}`);
    const datasets = data.series.map((series, index) => ({
      label: series.name,
      data: series.hits,
      backgroundColor: fill(series, index),
      hoverBackgroundColor: fill(series, index),
      borderColor: color("surface"),
      borderWidth: { top: 1 },
      borderSkipped: false,
      maxBarThickness: 64,
      categoryPercentage: 0.82,
      barPercentage: 1,
    }));
    return {
      height: data.noun ? 260 : width < 500 ? 380 : 420,
      config: {
        type: "bar",
        data: { labels: data.days, datasets },
        options: {
          interaction: { mode: "index", intersect: false },
          ...links((_, event) => {
            if (data.noun) return null;
            const [bar] = event.chart.getElementsAtEventForMode(
              event.native, "nearest", { intersect: true }, false,
            );
            if (!bar) return null;
            const { name, other } = data.series[bar.datasetIndex];
            return requestsUrl(data, data.edges[bar.index], other ? null : name);
          }),
          plugins: {
            annotation: markers(data, color),
            legend: {
              position: "bottom",
              labels: {
                color: color("text"), boxWidth: 10, boxHeight: 10, padding: 12,
                generateLabels: (chart) =>
                  Chart.defaults.plugins.legend.labels.generateLabels(chart).map((label) => ({
                    ...label, text: clip(label.text, 32), lineWidth: 0,
                  })),
              },
            },
            tooltip: {
              itemSort: (a, b) =>
                data.series[a.datasetIndex].other - data.series[b.datasetIndex].other || b.raw - a.raw,
              filter: (item) => item.raw > 0,
              callbacks: {
                title: ([item]) => (item ? longDay(item.label) : ""),
                label: (item) => ` ${item.dataset.label}: ${number.format(item.raw)}`,
                footer: (items) =>
                  `All: ${counted(items.reduce((sum, item) => sum + item.raw, 0))}`,
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
                callback: (index) =>
                  dayLabel(data.days[index], { day: "numeric", month: "short" }),
              },
            }),
            y: axis(color, { stacked: true, beginAtZero: true, ticks: { precision: 0, maxTicksLimit: 7 } }),
          },
        },
      },
    };
  }

  /** One box an endpoint on a logarithmic axis; the statistics come from the server. */
  function boxplot(data, color, width) {
    const boxes = data.boxes;
    const colors = boxes.map((_, index) => color(`series-${(index % 9) + 1}`));
    const smallest = Math.max(Math.min(...boxes.map((box) => box.min_ms)), 0.001);
    const largest = Math.max(...boxes.map((box) => box.max_ms), smallest * 2);
    const items = boxes.map((box) => ({
      min: box.whisker_low_ms, whiskerMin: box.whisker_low_ms,
      q1: box.q1_ms, median: box.median_ms, q3: box.q3_ms, mean: box.mean_ms,
      max: box.whisker_high_ms, whiskerMax: box.whisker_high_ms,
      items: [],
      // The whiskers are within 1 %, the extremes exact: what lies on a whisker's end is no dot.
      outliers: [box.min_ms, box.max_ms].filter(
        (value) => value < box.whisker_low_ms * 0.97 || value > box.whisker_high_ms * 1.03,
      ),
    }));
    const lines = (box) => [
      requests(box.hits),
      `median ${ms(box.median_ms)}, middle half ${ms(box.q1_ms)} – ${ms(box.q3_ms)}`,
      `p95 ${ms(box.p95_ms)}, p99 ${ms(box.p99_ms)}, mean ${ms(box.mean_ms)}`,
      `fastest ${ms(box.min_ms)}, slowest ${ms(box.max_ms)}`,
    ];
    return {
      height: 32 * boxes.length + 64,
      config: {
        type: "boxplot",
        data: {
          labels: boxes.map((box) => box.name),
          datasets: [{
            data: items,
            backgroundColor: colors.map((one) => fade(one, 0.28)),
            borderColor: colors,
            // A box of one request has no width: it is a line that can be seen.
            borderWidth: boxes.map((box) => (box.q1_ms === box.q3_ms ? 3 : 1.4)),
            medianColor: boxes.map((box, index) => (box.q1_ms === box.q3_ms ? colors[index] : color("text"))),
            meanRadius: 0,
            itemRadius: 0,
            outlierRadius: 2,
            outlierBackgroundColor: colors,
            outlierBorderColor: colors,
            maxBarThickness: 20,
          }],
        },
        options: {
          indexAxis: "y",
          interaction: { mode: "nearest", axis: "y", intersect: false },
          ...links(({ index }) => boxes[index].url),
          plugins: {
            legend: { display: false },
            tooltip: {
              displayColors: false,
              callbacks: {
                title: ([item]) => boxes[item.dataIndex].name,
                label: (item) => lines(boxes[item.dataIndex]),
              },
            },
          },
          scales: {
            x: durationAxis(color, smallest, largest, "Duration", boxes.length > 14),
            y: axis(color, {
              grid: { display: false },
              ticks: {
                autoSkip: false,
                color: color("text"),
                callback: (index) => clip(boxes[index].name, width < 500 ? 14 : 40),
              },
            }),
          },
        },
      },
    };
  }

  Object.assign((window.fmdDrawings ??= {}), { matrix, stacked, boxplot });
})();
