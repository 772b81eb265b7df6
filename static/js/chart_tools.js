// What the drawings of the charts share: colours, words, axes and links.
"use strict";

window.fmdCharts = (() => {
  const LIBRARY_PATIENCE_MS = 5000;
  const number = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
  const requests = (hits) => `${number.format(hits)} ${hits === 1 ? "request" : "requests"}`;

  // Colours and small helpers

  const probe = document.createElement("span");
  probe.hidden = true;
  document.body.append(probe);

  /** Return a function that gives the value of a colour variable as rgb(), as the theme is now. */
  function palette() {
    const found = new Map();
    return (name) => {
      if (!found.has(name)) {
        probe.style.color = `var(--${name})`;
        found.set(name, getComputedStyle(probe).color);
      }
      return found.get(name);
    };
  }

  function channels(color) {
    return color.match(/[\d.]+/g).slice(0, 3).map(Number);
  }

  function mix(from, to, share) {
    const [a, b] = [channels(from), channels(to)];
    return `rgb(${a.map((value, i) => Math.round(value + (b[i] - value) * share)).join(" ")})`;
  }

  function fade(color, opacity) {
    return `rgb(${channels(color).join(" ")} / ${opacity})`;
  }

  /** Milliseconds as on the rest of the page: 0.42 ms, 9.1 ms, 1,450 ms. */
  function ms(value) {
    if (value >= 100000) return `${number.format(value / 1000)} s`;
    if (value >= 9.95) return `${number.format(value)} ms`;
    return `${value.toFixed(value >= 0.995 ? 1 : 2)} ms`;
  }

  /** The same for the ticks of an axis: short, and with the unit that fits. */
  function shortMs(value) {
    return value >= 1000 ? `${number.format(value / 1000)} s` : `${Number(value.toPrecision(3))} ms`;
  }

  /** A share (1 = 100 %). What is not zero is never shown as zero. */
  function percent(share) {
    const value = 100 * share;
    if (value > 0 && value < 0.05) return "< 0.1 %";
    return `${value.toFixed(value > 0 && value < 9.95 ? 1 : 0)} %`;
  }

  function dayLabel(iso, options) {
    const date = new Date(`${iso}T12:00:00Z`);
    // Months as on the rest of the page, where September has three letters too.
    return date.toLocaleDateString("en-GB", { timeZone: "UTC", ...options }).replace("Sept", "Sep");
  }

  const longDay = (iso) =>
    dayLabel(iso, { weekday: "short", day: "numeric", month: "short", year: "numeric" });
  const shortDay = (iso) => dayLabel(iso, { weekday: "short", day: "numeric", month: "short" });

  function clip(text, length) {
    return text.length > length ? `${text.slice(0, length - 1)}…` : text;
  }

  /** The end of a name: what tells endpoints apart where there is little room. */
  function clipFront(text, length) {
    return text.length > length ? `…${text.slice(1 - length)}` : text;
  }

  /** Beginning and end of an hour of the wall clock. */
  function hourEdges(day, hour) {
    return [hour, hour + 1].map((one) => {
      const date = new Date(`${day}T00:00:00Z`);
      date.setUTCHours(one);
      return date.toISOString().slice(0, 16);
    });
  }

  /** The list of requests between two moments of the wall clock. */
  function requestsUrl(data, [from, to], endpoint) {
    const url = new URL(data.requests_url, location.href);
    url.searchParams.set("from", from);
    url.searchParams.set("to", to);
    if (endpoint) url.searchParams.set("endpoint", endpoint);
    return url.href;
  }

  /** Options that make what `find` gives an address for a link. */
  function links(find) {
    return {
      onClick: (event, elements) => {
        const url = elements.length && find(elements[0], event);
        if (url) location.assign(url);
      },
      onHover: (event, elements) => {
        event.native.target.style.cursor = elements.length && find(elements[0], event) ? "pointer" : "";
      },
    };
  }

  function axis(color, more) {
    return {
      border: { display: false },
      grid: { color: color("grid"), drawTicks: false },
      ...more,
      ticks: { color: color("muted"), padding: 8, ...more?.ticks },
    };
  }

  /** Durations on a logarithmic scale; above the rows if there are `many`, or it would be out of sight. */
  function durationAxis(color, smallest, largest, title, many) {
    const shown = largest / smallest > 1000 ? [1] : [1, 2, 5];
    return axis(color, {
      type: "logarithmic",
      position: many ? "top" : "bottom",
      min: smallest * 0.8,
      max: largest * 1.25,
      title: { display: true, text: `${title} (logarithmic)`, color: color("muted") },
      ticks: {
        maxRotation: 0,
        autoSkipPadding: 14,
        callback: (value) => {
          const digit = value / 10 ** Math.floor(Math.log10(value) + 1e-9);
          return shown.includes(Math.round(digit * 1e6) / 1e6) ? shortMs(value) : null;
        },
      },
    });
  }

  /** Lines where a version was new: `data.deploys` are [{at: position on the axis, label}]. */
  function markers(data, color) {
    const annotations = (data.deploys ?? []).map(({ at, label }, index) => ({
      // A category stands for the middle of its width.
      type: "line", scaleID: "x", value: at - 0.5,
      borderColor: color("muted"), borderWidth: 1, borderDash: [3, 3],
      label: {
        display: true, content: clip(label || "(no version)", 14), position: "start",
        // Neighbours do not hide each other.
        yAdjust: (index % 3) * 18, backgroundColor: color("surface-2"), color: color("text"),
        borderColor: color("border"), borderWidth: 1, font: { size: 10.5, weight: "normal" }, padding: 3,
      },
    }));
    return { annotations };
  }

  /** Options for the zoom plugin: drag over the chart to see that part of the x axis. */
  function zoom(color) {
    return {
      zoom: {
        drag: { enabled: true, backgroundColor: fade(color("accent"), 0.15), borderColor: color("accent"), borderWidth: 1, threshold: 8 },
        mode: "x",
        onZoomComplete: ({ chart }) => {
          if (chart.isZoomedOrPanned()) chart.canvas.dispatchEvent(new Event("fmd:zoom", { bubbles: true }));
        },
      },
    };
  }

  /**
   * The colour of a status code: that of its class, paler for each further code of the class.
   * `seen` is a Map of the codes so far in this chart.
   */
  function statusColor(color, code, seen) {
    const kind = Math.min(Math.floor(code / 100), 5);
    const base = color({ 2: "series-3", 3: "series-1", 4: "series-2", 5: "series-5" }[kind] ?? "series-8");
    const codes = seen.get(kind) ?? seen.set(kind, []).get(kind);
    if (!codes.includes(code)) codes.push(code);
    return mix(base, color("surface"), Math.min(0.15 * codes.indexOf(code), 0.6));
  }

  // What all charts look like

  function useFont() {
    Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
    Chart.defaults.font.size = 12;
  }

  function tooltip(color) {
    return {
      backgroundColor: color("surface"), titleColor: color("text"), bodyColor: color("text"),
      footerColor: color("text"), borderColor: color("border-strong"), borderWidth: 1,
      padding: 10, cornerRadius: 6, boxWidth: 9, boxHeight: 9, footerMarginTop: 8,
    };
  }

  /** To be called while the page is being loaded: before the library's scripts have run. */
  function whenLibraryIsThere(start, fail) {
    const scripts = [...document.querySelectorAll("script[data-chart-lib]")];
    const patience = setTimeout(fail, LIBRARY_PATIENCE_MS);
    let waiting = scripts.length;
    for (const script of scripts) {
      script.addEventListener("load", () => {
        waiting -= 1;
        if (waiting === 0) {
          clearTimeout(patience);
          start();
        }
      });
      script.addEventListener("error", fail);
    }
  }

  return {
    number, requests, palette, mix, fade, ms, shortMs, percent, dayLabel, longDay, shortDay, clip, clipFront,
    hourEdges, requestsUrl, links, axis, durationAxis, markers, zoom, statusColor, useFont, tooltip, whenLibraryIsThere,
  };
})();
