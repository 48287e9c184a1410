// @ts-check
"use strict";
/** Two scales: of rewards, from vermilion to teal, and of surprise, from nothing to deep amber. Both hold without red and green. */
const colors = (() => {
  const css = (/** @type {string} */ name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const dark = () => document.documentElement.dataset.theme === "dark"
    || (!document.documentElement.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches);

  /** @param {number} share 0 for the least, 1 for the greatest */
  function reward(share) {
    const t = Math.min(1, Math.max(0, share));
    const stops = dark()
      ? [[30, 0.62, 0.155, 38], [50, 0.70, 0.10, 78], [100, 0.70, 0.115, 178]]
      : [[0, 0.62, 0.175, 38], [50, 0.78, 0.11, 82], [100, 0.56, 0.105, 182]];
    const [from, to, u] = t < 0.5 ? [stops[0], stops[1], t * 2] : [stops[1], stops[2], t * 2 - 1];
    const mix = (/** @type {number} */ i) => from[i] + (to[i] - from[i]) * u;
    return `oklch(${mix(1).toFixed(3)} ${mix(2).toFixed(3)} ${mix(3).toFixed(1)})`;
  }

  /** The shade behind a token: none for a certain one. @param {number} logprob */
  function surprise(logprob) {
    const t = Math.min(1, -logprob / 6);
    if (t < 0.004) return "transparent";
    const depth = Math.sqrt(t);
    return dark()
      ? `oklch(${(0.34 + 0.25 * depth).toFixed(3)} ${(0.03 + 0.13 * depth).toFixed(3)} ${(88 - 52 * depth).toFixed(1)} / ${(0.25 + 0.75 * depth).toFixed(2)})`
      : `oklch(${(0.97 - 0.25 * depth).toFixed(3)} ${(0.03 + 0.13 * depth).toFixed(3)} ${(95 - 55 * depth).toFixed(1)} / ${(0.35 + 0.65 * depth).toFixed(2)})`;
  }

  return { css, dark, reward, surprise };
})();
