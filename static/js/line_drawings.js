// Lines over time. The data of the page:
//   series:  [{name, points: [[ms, value], …], band?: [[ms, low, high], …], color?: "series-1"}, …]
//            in order of time; a value of null breaks the line
//   markers: [{time_ms, label}, …], such as the first request of a version
//   range:   {timezone, start_ms?, end_ms?}; without the latter two, from the first to the last point
//   gap_ms:  lines break where two points are farther apart (optional)
//   step_ms: each point stands for so much time, from its own on (optional)
// Times are shown on the wall clock of range.timezone, wherever the browser is. Dragging zooms in.
// Packages: chart.js, chartjs-plugin-annotation, chartjs-plugin-zoom.
"use strict";

(() => {
  const { fade, clip, axis } = window.fmdCharts;
  const SECOND = 1000;
  const MINUTE = 60 * SECOND;
  const HOUR = 60 * MINUTE;
  const DAY = 24 * HOUR;
  /** What the ticks of an axis may be apart. */
  const STEPS = [
    ...[1, 2, 5, 10, 15, 30].map((n) => n * SECOND), ...[1, 2, 5, 10, 15, 30].map((n) => n * MINUTE),
    ...[1, 2, 3, 6, 12].map((n) => n * HOUR), ...[1, 2, 4, 7, 14, 28, 56, 112, 224].map((n) => n * DAY),
  ];
  /** A Monday in 1970, so that steps of weeks begin on one. */
  const MONDAY = 4 * DAY;
  const SHORTEST_ZOOM_MS = 2 * SECOND;
  const FEW_POINTS = 60;

  // The wall clock of a time zone

  /** Return what gives the offset of `zone` from UTC at a time, in ms. */
  function offsets(zone) {
    const format = new Intl.DateTimeFormat("en-US", {
      timeZone: zone, hourCycle: "h23", year: "numeric", month: "numeric", day: "numeric",
      hour: "numeric", minute: "numeric", second: "numeric",
    });
    return (time) => {
      const part = {};
      for (const { type, value } of format.formatToParts(time)) part[type] = Number(value);
      const wall = Date.UTC(part.year, part.month - 1, part.day, part.hour, part.minute, part.second);
      return wall - Math.floor(time / SECOND) * SECOND;
    };
  }

  /** Return the times between two that are round on the wall clock, at most about `most`. */
  function ticks(from, to, most, offset) {
    const step = STEPS.find((one) => (to - from) / one <= most) ?? STEPS.at(-1);
    const origin = step >= 7 * DAY ? MONDAY : 0;
    const found = [];
    let wall = Math.ceil((from + offset(from) - origin) / step) * step + origin;
    for (;;) {
      // The offset at that wall time; the second look is for the hours around a clock change.
      let time = wall - offset(wall - offset(from));
      time = wall - offset(time);
      if (time > to) break;
      if (time >= from && time > (found.at(-1) ?? -Infinity)) found.push(time);
      wall += step;
    }
    return { step, times: found };
  }

  function tickLabels(zone) {
    const formats = new Map();
    const format = (time, options) => {
      const key = JSON.stringify(options);
      if (!formats.has(key)) formats.set(key, new Intl.DateTimeFormat("en-GB", { timeZone: zone, ...options }));
      return formats.get(key).format(time).replace("Sept", "Sep");
    };
    const clock = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
    return {
      tick: (time, step) => {
        const text = format(time, step < MINUTE ? { ...clock, second: "2-digit" } : clock);
        if (step >= DAY || text === "00:00") return format(time, { day: "numeric", month: "short" });
        return text;
      },
      full: (time, seconds) => format(time, {
        weekday: "short", day: "numeric", month: "short", year: "numeric", ...clock,
        ...(seconds ? { second: "2-digit" } : {}),
      }),
    };
  }

  // Values

  const plain = new Intl.NumberFormat("en", { maximumSignificantDigits: 6 });
  const compact = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 4 });

  /** How values are written: whole, and short for the ticks of an axis. */
  const show = {
    full: (value) => plain.format(value),
    short: (value) => (Math.abs(value) >= 10000 ? compact : plain).format(value),
  };

  // Zooming

  /** The button that shows all again; it stands on the chart while one has zoomed in. */
  function resetButton(chart, data, full) {
    const box = chart.canvas.parentElement;
    let button = box.querySelector(".chart-reset");
    if (!button) {
      button = document.createElement("button");
      button.type = "button";
      button.className = "btn chart-reset";
      button.textContent = "Show all";
      box.append(button);
    }
    button.hidden = !data.zoomed;
    button.onclick = () => {
      delete data.zoomed;
      button.hidden = true;
      chart.zoomScale("x", full, "none");
      chart.canvas.focus?.();
    };
  }

  function zooming(data, color, full) {
    const { min: from, max: to } = full;
    return {
      limits: { x: { min: from, max: to, minRange: Math.min(SHORTEST_ZOOM_MS, to - from) } },
      zoom: {
        mode: "x",
        drag: {
          enabled: true, threshold: 6, borderWidth: 1,
          backgroundColor: fade(color("accent"), 0.15), borderColor: color("accent"),
        },
        onZoom: ({ chart }) => {
          const { min, max } = chart.scales.x;
          // Kept with the data, so that another theme shows the same part.
          if (min > from || max < to) data.zoomed = { min, max };
          resetButton(chart, data, full);
        },
      },
    };
  }

  // The parts of the chart

  function lineColor(series, index, color) {
    return color(series.color ?? `series-${(index % 9) + 1}`);
  }

  function dotRadius(points) {
    if (points === 1) return 4;
    return points <= FEW_POINTS ? 2.5 : 0;
  }

  function lines(data, color, spanGaps) {
    return data.series.map((series, index) => {
      const line = lineColor(series, index, color);
      return {
        label: series.name,
        data: series.points.map(([x, y]) => ({ x, y: y ?? NaN })),
        parsing: false,
        borderColor: line,
        backgroundColor: line,
        borderWidth: 1.6,
        borderJoinStyle: "round",
        pointRadius: dotRadius(series.points.length),
        // Dots at the edges are whole.
        clip: 6,
        pointHoverRadius: 4,
        pointHitRadius: 8,
        spanGaps,
      };
    });
  }

  /** Between the lowest and the highest value of each step: two lines, the area between filled. */
  function bands(data, color, spanGaps) {
    return data.series.flatMap((series, index) => {
      if (!series.band) return [];
      const fill = fade(lineColor(series, index, color), 0.18);
      const edge = (at, more) => ({
        label: series.name, isBand: true, parsing: false, spanGaps, borderWidth: 0, pointRadius: 0,
        pointHoverRadius: 0, pointHitRadius: 0, backgroundColor: fill,
        data: series.band.map((row) => ({ x: row[0], y: row[at] ?? NaN })),
        ...more,
      });
      return [edge(1), edge(2, { fill: "-1" })];
    });
  }

  function markerLines(data, color, full, width) {
    const found = {};
    data.markers.forEach(({ time_ms: time, label }, index) => {
      if (time < full.min || time > full.max) return;
      found[`marker-${index}`] = {
        type: "line", scaleID: "x", value: time, borderColor: color("muted"), borderWidth: 1, borderDash: [4, 4],
        label: {
          display: width >= 500, content: clip(label, 18), position: "start", rotation: -90, xAdjust: -8,
          backgroundColor: "transparent", color: color("muted"), font: { size: 11, weight: "normal" }, padding: 2,
        },
      };
    });
    return found;
  }

  function extent(data) {
    let from = data.range.start_ms ?? Infinity;
    let to = data.range.end_ms ?? -Infinity;
    if (from === Infinity || to === -Infinity) {
      for (const { points } of data.series) {
        if (points.length === 0) continue;
        from = Math.min(from, points[0][0]);
        to = Math.max(to, points.at(-1)[0]);
      }
    }
    if (!(to >= from)) return { min: Date.now() - MINUTE, max: Date.now() };
    return to - from >= MINUTE ? { min: from, max: to } : { min: from - MINUTE / 2, max: to + MINUTE / 2 };
  }

  function legend(color, shown) {
    return {
      display: shown,
      position: "bottom",
      labels: {
        color: color("text"), boxWidth: 10, boxHeight: 10, padding: 12,
        filter: (item, { datasets }) => !datasets[item.datasetIndex].isBand,
      },
      onClick: (_, { text }, { chart }) => {
        // A line and its band go together.
        chart.data.datasets.forEach((set, index) => {
          if (set.label === text) chart.setDatasetVisibility(index, !chart.isDatasetVisible(index));
        });
        chart.update("none");
      },
    };
  }

  function tips(data, words) {
    const seconds = (data.step_ms ?? 0) < MINUTE;
    return {
      displayColors: data.series.length > 1,
      filter: (item) => !item.dataset.isBand,
      callbacks: {
        title: ([item]) => {
          if (!item) return "";
          const time = item.parsed.x;
          return words.full(time, seconds) + (data.step_ms ? ` – ${words.tick(time + data.step_ms, seconds ? 0 : MINUTE)}` : "");
        },
        label: (item) => {
          const name = data.series.length > 1 ? ` ${item.dataset.label}: ` : "";
          const band = data.series[item.datasetIndex - item.chart.bandCount]?.band;
          const row = band?.find(([time]) => time === item.parsed.x);
          const spread = row ? ` (${show.full(row[1])} to ${show.full(row[2])})` : "";
          return name + show.full(item.parsed.y) + spread;
        },
        footer: ([item]) => {
          if (!item) return "";
          const { min, max } = item.chart.scales.x;
          const near = data.markers.filter(({ time_ms: time }) => Math.abs(time - item.parsed.x) < (max - min) / 60);
          return near.map(({ label }) => `▏${label}`);
        },
      },
    };
  }

  /** Leave some room above and below the lines, but none below zero for what is never negative. */
  function room(scale) {
    const { min, max } = scale;
    if (!(max > min)) return;
    const pad = 0.05 * (max - min);
    scale.max = max + pad;
    scale.min = min >= 0 ? Math.max(0, min - pad) : min - pad;
  }

  /** Lines over time: see the head of this file. */
  function lineOverTime(data, color, width) {
    const zone = data.range.timezone;
    const offset = offsets(zone);
    const words = tickLabels(zone);
    const full = extent(data);
    const now = data.zoomed ?? full;
    const whole = data.series.every(({ points }) => points.every(([, value]) => Number.isInteger(value ?? 0)));
    // Where points are left out for want of pixels, those that are shown are farther apart.
    const spanGaps = data.gap_ms ? Math.max(data.gap_ms, (4 * (full.max - full.min)) / Math.max(width, 100)) : false;
    const band = bands(data, color, spanGaps);
    let step = DAY;
    return {
      height: width < 500 ? 280 : 340,
      config: {
        type: "line",
        data: { datasets: [...band, ...lines(data, color, spanGaps)] },
        plugins: [{
          id: "fmdLines",
          beforeInit: (chart) => { chart.bandCount = band.length; },
          afterInit: (chart) => resetButton(chart, data, full),
        }],
        options: {
          normalized: true,
          interaction: { mode: "nearest", axis: "x", intersect: false },
          plugins: {
            legend: legend(color, data.series.length > 1),
            tooltip: tips(data, words),
            decimation: { enabled: true, algorithm: "lttb", samples: Math.max(width, 300), threshold: 1.5 * Math.max(width, 300) },
            zoom: zooming(data, color, full),
            annotation: { annotations: markerLines(data, color, full, width) },
          },
          scales: {
            x: axis(color, {
              type: "linear",
              ...now,
              grid: { display: false },
              afterBuildTicks: (scale) => {
                const found = ticks(scale.min, scale.max, Math.max(2, scale.width / 66), offset);
                step = found.step;
                scale.ticks = found.times.map((value) => ({ value }));
              },
              ticks: { maxRotation: 0, autoSkip: false, callback: (time) => words.tick(time, step) },
            }),
            y: axis(color, {
              afterDataLimits: room,
              ticks: { maxTicksLimit: 7, callback: show.short, ...(whole ? { precision: 0 } : {}) },
            }),
          },
        },
      },
    };
  }

  Object.assign((window.fmdDrawings ??= {}), { lineOverTime });
})();
