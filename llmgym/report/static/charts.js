// @ts-check
"use strict";
/* global uPlot */
/** Plots: histograms of columns, and curves with their intervals. */
const charts = (() => {
  /** @type {Set<any>} */
  const drawn = new Set();
  const HEIGHT = 180;
  const WHOLE = Array.from({ length: 16 }, (_, i) => [1, 2, 5].map((one) => one * 10 ** i)).flat(); // steps of an axis
  const watcher = new ResizeObserver((entries) => {
    for (const entry of entries) {
      const plot = /** @type {any} */ (entry.target).plot;
      const width = Math.floor(entry.contentRect.width);
      if (plot && width > 0 && width !== plot.width) plot.setSize({ width, height: HEIGHT });
    }
  });

  function forget() {
    for (const plot of drawn) plot.destroy();
    drawn.clear();
    watcher.disconnect();
  }

  /** @param {number} run */
  const ofRun = (run) => colors.css(run ? "--other" : "--accent");

  /** @param {string} color @param {number} share */
  const faint = (color, share) => `color-mix(in oklab, ${color} ${share * 100}%, transparent)`;

  /** @param {any} more */
  const axis = (more) => ({
    stroke: colors.css("--muted"), font: `11px ${colors.css("--sans")}`, size: 24, gap: 5,
    grid: { stroke: colors.css("--line"), width: 1 }, ticks: { show: false }, ...more,
  });

  /** @param {HTMLElement} place @param {any} options @param {any[]} data */
  function draw(place, options, data) {
    const plot = new uPlot({
      width: Math.max(200, Math.floor(place.clientWidth)), height: HEIGHT, legend: { show: false },
      cursor: { y: false, points: { show: false }, drag: { setScale: false } }, padding: [8, 10, 0, 0], ...options,
    }, data, place);
    const tip = h("div.tip");
    plot.over.append(tip);
    plot.hooks.setCursor = [(/** @type {any} */ u) => {
      const at = u.cursor.idx;
      const said = at === null || at === undefined || u.cursor.left < 0 ? "" : options.say(at);
      tip.textContent = said;
      tip.style.display = said ? "block" : "none";
      const right = u.cursor.left > u.over.clientWidth / 2;
      tip.style.left = right ? "auto" : `${u.cursor.left + 10}px`;
      tip.style.right = right ? `${u.over.clientWidth - u.cursor.left + 10}px` : "auto";
    }];
    /** @type {any} */ (place).plot = plot;
    drawn.add(plot);
    watcher.observe(place);
  }

  /** Edges of bins: one for each whole number while these are few. @param {number[][]} series */
  function edges(series) {
    let low = Infinity, high = -Infinity, whole = true;
    for (const values of series) {
      for (const value of values) {
        if (value < low) low = value;
        if (value > high) high = value;
        whole = whole && Number.isInteger(value);
      }
    }
    if (low > high || high - low === Infinity) return null;
    if (whole) {
      const step = Math.max(1, Math.ceil((high - low + 1) / 40));
      const start = step === 1 ? low : Math.floor(low / step) * step;
      return { start, step, bins: Math.floor((high - start) / step) + 1, whole };
    }
    if (low === high) return { start: low - 0.05, step: 0.1, bins: 1, whole };
    if (low >= 0 && high <= 1 && high > 0.2) [low, high] = [0, 1];
    const bins = 20;
    return { start: low, step: (high - low) / bins, bins, whole };
  }

  /**
   * @param {HTMLElement} place
   * @param {number[][]} series the values of each run
   */
  function histogram(place, series) {
    const found = edges(series);
    if (!found) {
      place.append(h("p.empty", "nothing to show"));
      return;
    }
    const { start, step, bins, whole } = found;
    const counts = series.map((values) => {
      const sums = new Array(bins).fill(0);
      for (const value of values) sums[Math.min(bins - 1, Math.floor((value - start) / step + 1e-9))]++;
      return sums;
    });
    const totals = counts.map((sums) => sums.reduce((a, b) => a + b, 0) || 1);
    const shares = counts.map((sums, run) => sums.map((sum) => (100 * sum) / totals[run]));
    const middle = whole && step === 1 ? 0 : step / 2;
    const x = Array.from({ length: bins }, (_, i) => start + i * step + middle);
    const range = (/** @type {number} */ i) => {
      const from = start + i * step;
      if (whole) return step === 1 ? number(from) : `${number(from)} to ${number(from + step - 1)}`;
      return `${number(from, 2)} to ${number(from + step, 2)}`;
    };
    draw(place, {
      scales: {
        x: { time: false, range: () => [start + middle - step * 0.6, start + (bins - 1) * step + middle + step * 0.6] },
        y: { range: (/** @type {any} */ _, /** @type {number} */ __, /** @type {number} */ high) => [0, high * 1.08 || 1] },
      },
      axes: [
        axis({ grid: { show: false }, incrs: whole ? WHOLE : undefined,
          values: (/** @type {any} */ _, /** @type {number[]} */ at) => at.map((v) => brief(v)) }),
        axis({ size: 38, values: (/** @type {any} */ _, /** @type {number[]} */ at) => at.map((v) => `${Number(v.toFixed(2))}%`) }),
      ],
      series: [{}, ...shares.map((_, run) => ({
        stroke: ofRun(run), width: series.length > 1 ? 1.5 : 0, points: { show: false },
        fill: faint(ofRun(run), series.length > 1 ? 0.3 : 0.85),
        paths: uPlot.paths.bars({ size: [0.86, 48], radius: 0.12 }),
      }))],
      say: (/** @type {number} */ i) => `${range(i)}: ${counts.map((sums, run) => `${count(sums[i])} (${number(shares[run][i], 1)}%)`).join(" / ")}`,
    }, [x, ...shares]);
  }

  /**
   * @param {HTMLElement} place
   * @param {{x: number, mean: number | null, low: number | null, high: number | null, note: string}[][]} series of each run
   * @param {{unit?: boolean}} about
   */
  function curve(place, series, about) {
    const xs = [...new Set(series.flat().map((point) => point.x))].sort((a, b) => a - b);
    if (!xs.length) {
      place.append(h("p.empty", "nothing to show"));
      return;
    }
    const at = series.map((points) => new Map(points.map((point) => [point.x, point])));
    const column = (/** @type {number} */ run, /** @type {"mean" | "low" | "high"} */ key) =>
      xs.map((x) => { const p = at[run].get(x); return p ? p[key] ?? (key === "mean" ? null : p.mean) : null; });
    const data = [xs, ...series.flatMap((_, run) => [column(run, "low"), column(run, "high"), column(run, "mean")])];
    const few = xs.length <= 40;
    draw(place, {
      scales: {
        x: { time: false, range: (/** @type {any} */ _, /** @type {number} */ a, /** @type {number} */ b) => (a === b ? [a - 1, b + 1] : [a - (b - a) * 0.02, b + (b - a) * 0.02]) },
        y: { range: (/** @type {any} */ _, /** @type {number} */ a, /** @type {number} */ b) => {
          if (about.unit) return [Math.min(0, a), Math.max(1, b) * 1.02];
          const room = (b - a || 1) * 0.08;
          return [a - room, b + room];
        } },
      },
      axes: [
        axis({ grid: { show: false }, incrs: WHOLE, space: Math.max(50, 8 * count(xs[xs.length - 1]).length) }),
        axis({ size: 38, values: (/** @type {any} */ _, /** @type {number[]} */ at) => at.map((v) => (Math.abs(v) < 1e4 ? count(v) : brief(v))) }),
      ],
      series: [{}, ...series.flatMap((_, run) => [
        { stroke: "transparent", points: { show: false } }, { stroke: "transparent", points: { show: false } },
        { stroke: ofRun(run), width: 2, spanGaps: true, points: { show: few, size: 6, fill: ofRun(run), stroke: ofRun(run) } },
      ])],
      bands: series.map((_, run) => ({ series: [2 + 3 * run, 1 + 3 * run], fill: faint(ofRun(run), 0.16) })),
      say: (/** @type {number} */ i) => series.map((_, run) => at[run].get(xs[i])?.note).filter(Boolean).join("   "),
    }, data);
  }

  return { histogram, curve, forget };
})();
