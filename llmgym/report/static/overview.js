// @ts-check
"use strict";
/** The first page: figures, plots, environments. */
const overview = (() => {
  /** The figures of a run, of all of it or an environment. @param {any} run @param {string} env */
  const scopeOf = (run, env) => (env ? run.envs[env] : run.all);

  /** @param {any} found a mean with its interval @param {number} [digits] */
  function interval(found, digits = 3) {
    return found.low === null || found.low === undefined ? "" : `${number(found.low, digits)} – ${number(found.high, digits)}`;
  }

  /** @param {any} found @param {number} run @param {number} low @param {number} high */
  function bar(found, run, low, high) {
    const mean = found.mean ?? found.value; // of rewards, or pass@k
    if (mean === null || mean === undefined || high <= low) return null;
    const place = (/** @type {number} */ value) => `${(100 * Math.min(1, Math.max(0, (value - low) / (high - low)))).toFixed(2)}%`;
    const band = h("i"), dot = h("b");
    band.style.left = place(found.low ?? mean);
    band.style.right = `calc(100% - ${place(found.high ?? mean)})`;
    dot.style.left = place(mean);
    return h("span.interval", { class: run ? "other" : "" }, band, dot);
  }

  /** @param {any[]} found the mean rewards of each run, or null */
  const rewardBars = (found) => h("div.bars", found.map((one, run) => one && bar(one, run, Math.min(0, one.low ?? 0), Math.max(1, one.high ?? 1))));

  /** @param {string} label @param {any[]} values one for each run @param {any} [below] @param {any} [more] @param {string} [href] of what is wrong */
  function tile(label, values, below, more, href) {
    return h(href ? "a.tile.bad" : "div.tile", { href }, h("div.label", label),
      h("div.values", values.map((value, run) => h("span.value", { class: run ? "other" : "" }, value))),
      more ?? null, h("div.below", below ?? ""));
  }

  /** @param {any} summary @param {string} env */
  function tiles(summary, env) {
    const runs = summary.runs;
    const scopes = runs.map((/** @type {any} */ run) => scopeOf(run, env));
    const first = scopes.find(Boolean);
    if (!first) return h("p.empty", "no finished episode yet");
    const two = scopes.length > 1;
    const each = (/** @type {(scope: any) => any} */ of) => scopes.map((/** @type {any} */ scope) => (scope ? of(scope) : "–"));
    const there = scopes.filter(Boolean), scored = there.filter((/** @type {any} */ scope) => scope.passes.length);
    const below = (/** @type {(scope: any) => string} */ of) => [...new Set(there.map(of))].filter(Boolean).join(" / "); // once where runs agree
    const mean = (/** @type {any} */ scope, /** @type {string} */ name) => (scope.counts.rows ? scope.counts[name] / scope.counts.rows : null);
    const pass = (/** @type {any} */ scope, /** @type {number} */ k) => scope.passes.find((/** @type {any} */ point) => point.k === k);
    const most = Math.max(0, ...(scored[0]?.passes ?? []).map((/** @type {any} */ point) => point.k).filter((/** @type {number} */ k) => scored.every((/** @type {any} */ scope) => pass(scope, k))));
    const ended = below((s) => Object.entries(s.statuses).map(([name, many]) => `${count(/** @type {number} */ (many))} ${name.replace(/_/g, " ")}`).slice(0, 2).join(", "));
    const out = [
      tile("Reward", each((s) => number(s.reward.mean)), two ? "mean" : h("span", { title: "95% interval over tasks" }, interval(first.reward) || "mean"),
        rewardBars(scopes.map((/** @type {any} */ s) => s?.reward))),
    ];
    for (const k of new Set(most ? [1, most] : [])) {
      out.push(tile(`pass@${k}`, each((s) => number(pass(s, k)?.value)), two ? (k === 1 ? `reward ≥ ${number(summary.threshold)}` : "") : interval(pass(first, k)),
        h("div.bars", scopes.map((/** @type {any} */ s, /** @type {number} */ run) => s && pass(s, k) && bar(pass(s, k), run, 0, 1)))));
    }
    out.push(
      tile("Episodes", each((s) => count(s.counts.episodes)), !two && !env && runs[0].planned > first.counts.episodes ? [`of ${count(runs[0].planned)}`, ended].filter(Boolean).join(", ") : ended),
      tile("Tasks", each((s) => count(s.tasks)), below((s) => (s.tasks ? `${number(s.scored / s.tasks, 1)} episodes each` : ""))),
      tile("Turns", each((s) => number(mean(s, "turns"), 2)), "an episode"),
      tile("Sampled tokens", each((s) => (s.counts.tokens ? brief(s.counts.sampled) : "–")), below((s) => (s.counts.tokens ? `${number(mean(s, "sampled"), 1)} an episode` : s.counts.rows ? "the policy gives none" : ""))),
      tile("Time", each((s) => duration(mean(s, "wall_s"))), "an episode"),
    );
    if (there.some((/** @type {any} */ s) => s.cost)) out.push(tile("Cost", each((s) => `$${number(s.cost, 4)}`), "of models"));
    const lost = runs.map((/** @type {any} */ run) => (env ? run.failed[env] ?? 0 : Object.values(run.failed).reduce((sum, many) => sum + many, 0)));
    if (lost.some(Boolean)) out.push(tile("Failures", lost.map(count), "see what went wrong", null, "#/failures"));
    else if (runs.some((/** @type {any} */ run) => run.planned)) out.push(tile("Failures", lost.map(count), "none"));
    return h("div.tiles", out);
  }

  const KINDS = /** @type {[string, string][]} */ ([["solved", "all repeats solve it"], ["mixed", "repeats differ: there is something to learn from"],
    ["constant between", "all earn the same, in between"], ["failed", "no repeat earns anything"], ["single", "one episode only"], ["unscored", "no repeat has a reward"]]);

  /** @param {string} name */
  const colour = (name) => name.split(" ")[0];

  /** @param {any} scope */
  function kinds(scope) {
    const total = KINDS.reduce((sum, [name]) => sum + (scope.groups[name] || 0), 0);
    if (!total) return h("p.empty", "nothing to show");
    const found = KINDS.filter(([name]) => scope.groups[name]);
    return h("div", h("div.stack", found.map(([name, what]) => {
      const part = h("span", { class: colour(name), title: `${name}: ${what}` });
      part.style.flexGrow = String(scope.groups[name]);
      return part;
    })), h("ul.kinds", found.map(([name, what]) => h("li", h("span.dot", { class: colour(name) }), h("b", name), h("span.muted", what), h("span.grow"), count(scope.groups[name]),
      h("span.muted.share", `${Math.round((100 * scope.groups[name]) / total)}%`)))));
  }

  /** @param {string} title @param {string} [note] */
  function card(title, note) {
    const place = h("div.plot");
    return { place, element: h("section.card", h("header", h("h3", title), note ? h("span.note", note) : null), place) };
  }

  /** @param {string} key @param {string} env @param {boolean} [known] */
  function values(key, env, known) {
    const c = R.columns, code = env ? c.words.env.indexOf(env) : -1;
    const series = R.summary.runs.map(() => /** @type {number[]} */ ([]));
    for (let i = 0; i < c.rows; i++) {
      if ((env && c.env[i] !== code) || c.failed[i]) continue;
      const value = c[key][i];
      if (value !== null && (!known || value)) series[c.run[i]].push(value);
    }
    return series;
  }

  /** @param {HTMLElement} place @param {string} env */
  function plots(place, env) {
    charts.forget();
    const summary = R.summary;
    const scopes = summary.runs.map((/** @type {any} */ run) => scopeOf(run, env));
    const grid = h("div.cards");
    place.replaceChildren(grid);
    const add = (/** @type {string} */ title, /** @type {string} */ note, /** @type {(place: HTMLElement) => void} */ draw) => {
      const { element, place: inner } = card(title, note);
      grid.append(element);
      requestAnimationFrame(() => { if (inner.isConnected) draw(inner); });
    };
    const points = (/** @type {any} */ scope, /** @type {string} */ of, /** @type {string} */ key, /** @type {(p: any) => string} */ note) =>
      (scope?.[of] ?? []).map((/** @type {any} */ p) => ({ x: p[key], mean: p.mean ?? p.value, low: p.low, high: p.high, note: note(p) }));
    add("Reward", "share of the episodes", (box) => charts.histogram(box, values("reward", env)));
    const curves = scopes.map((/** @type {any} */ s) => points(s, "passes", "k", (p) => `pass@${p.k} ${number(p.value)} (${interval(p) ? `95%: ${interval(p)}` : "one task"}; ${count(p.tasks)} tasks)`));
    if (curves.some((/** @type {any[]} */ one) => one.length > 1)) add("pass@k", `reward ≥ ${number(summary.threshold)}, with 95% intervals over tasks`, (box) => charts.curve(box, curves, { unit: true }));
    const learning = scopes.map((/** @type {any} */ s) => points(s, "versions", "version", (p) => `weights ${p.version}: ${number(p.mean)} (${interval(p) ? `95%: ${interval(p)}` : "one task"}; ${count(p.episodes)} episodes)`));
    if (learning.some((/** @type {any[]} */ one) => one.length > 1)) add("Learning", "reward over versions of the weights", (box) => charts.curve(box, learning, {}));
    const turns = values("turns", env);
    if (turns.some((/** @type {number[]} */ of) => of.some((value) => value !== of[0]))) add("Turns", "assistant messages of an episode", (box) => charts.histogram(box, turns));
    if (scopes.some((/** @type {any} */ s) => s?.counts.tokens)) {
      add("Length", "sampled tokens of an episode", (box) => charts.histogram(box, values("sampled", env)));
      add("Log-probability", "mean over an episode's sampled tokens", (box) => charts.histogram(box, values("logprob", env)));
    }
    const each = (/** @type {string} */ title, /** @type {string} */ note, /** @type {(scope: any) => any} */ draw) => grid.append(
      h("section.card", h("header", h("h3", title), h("span.note", note)), scopes.map((/** @type {any} */ scope, /** @type {number} */ run) => scope && h("div.ofrun",
        scopes.length > 1 ? h("h4", h("span.dot", { class: run ? "other" : "own" }), flat(summary.runs[run].name)) : null, draw(scope)))));
    each("Groups", "by what the repeats of a task earn", kinds);
    const most = Math.max(...scopes.flatMap((/** @type {any} */ scope) => Object.values(scope?.tool_errors ?? {})));
    if (most > 0) each("Tool errors", "answered to the policy, by type", (scope) => toolErrors(scope, most));
  }

  /** @param {any} scope @param {number} most of one type */
  function toolErrors(scope, most) {
    const found = Object.entries(scope.tool_errors).slice(0, 8);
    return found.length ? h("div.barlist", found.map(([name, many]) => {
      const fill = h("i");
      fill.style.width = `${(100 * many) / most}%`;
      return h("div", h("span", flat(name)), h("span.track", fill), h("b", count(many)));
    })) : h("p.muted", "none");
  }

  /** @param {(env: string) => void} choose */
  function environments(/** @type {any} */ choose) {
    const summary = R.summary;
    const names = [...new Set(summary.runs.flatMap((/** @type {any} */ run) => Object.keys(run.envs)))].sort();
    const rows = names.map((_, i) => i);
    const of = (/** @type {number} */ i, /** @type {(s: any) => any} */ pick) => summary.runs.map((/** @type {any} */ run) => (run.envs[names[i]] ? pick(run.envs[names[i]]) : null));
    const pair = (/** @type {any[]} */ found, /** @type {(v: any) => string} */ say) => found.map((value, run) => h("span", { class: run ? "other" : "" }, value === null || value === undefined ? "–" : say(value)));
    const column = (/** @type {string} */ name, /** @type {string} */ label, /** @type {(s: any) => any} */ pick, /** @type {any} */ say, phone = false) =>
      ({ name, label, track: "minmax(74px, 1fr)", num: true, phone, value: (/** @type {number} */ i) => of(i, pick)[0], cell: (/** @type {number} */ i) => pair(of(i, pick), say) });
    const table = new Table([
      { name: "env", label: "Environment", track: "minmax(150px, 3fr)", phone: true, value: (i) => names[i], cell: (i) => h("b", flat(String(names[i]))) },
      column("reward", "Reward", (s) => s.reward.mean, number, true),
      { name: "interval", label: "95% interval", track: "minmax(90px, 1.3fr)", value: (i) => of(i, (s) => s.reward.low)[0], cell: (i) => rewardBars(of(i, (s) => s.reward)) },
      column("pass", "pass@1", (s) => s.passes[0]?.value, number, true),
      column("tasks", "Tasks", (s) => s.tasks, count),
      column("episodes", "Episodes", (s) => s.counts.episodes, count),
      column("turns", "Turns", (s) => (s.counts.rows ? s.counts.turns / s.counts.rows : null), (/** @type {number} */ v) => number(v, 1)),
      column("tokens", "Tokens", (s) => (s.counts.tokens ? s.counts.sampled / s.counts.rows : null), (/** @type {number} */ v) => number(v, 0)),
    ], { open: (i) => choose(names[i]), sort: "env" });
    const narrow = innerWidth < 640;
    table.element.style.height = `${Math.min(12, rows.length) * (narrow ? 62 : 37) + 42}px`;
    table.show(rows);
    return h("section.card.wide", h("header", h("h3", "Environments"), h("span.note", "choose one to see it alone")), table.element);
  }

  return { tiles, plots, environments };
})();
