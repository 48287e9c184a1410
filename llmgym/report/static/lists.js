// @ts-check
"use strict";
/** The tables of episodes, of tasks and of what two runs make of the same tasks; and the failures. */
const lists = (() => {
  /** Columns by which a search may ask: `reward<0.5 turns>3`. */
  const NUMBERS = ["reward", "turns", "sampled", "context", "errors", "wall", "version", "logprob", "repeat", "run"];
  /** @type {Record<string, string[]> | null} */
  let lowered = null;

  const lower = () => {
    if (!lowered) {
      const words = R.columns.words;
      lowered = Object.fromEntries(["env", "task", "prompt", "status", "agent"].map((name) => [name, words[name].map((/** @type {string} */ one) => one.toLowerCase())]));
      lowered.reply = R.columns.reply.map((/** @type {string} */ one) => one.toLowerCase());
    }
    return lowered;
  };

  /** What a search asks for: words, texts in quotes, conditions. @param {string} query */
  const terms = (query) => [...query.toLowerCase().matchAll(/"([^"]+)"?|[^\s"]+/g)].map((found) => found[1] ?? found[0]);

  /** @param {string} term */
  function condition(term) {
    const asked = /^([a-z]+)(<=|>=|<|>|=)(-?[\d.]+(?:e-?\d+)?)$/.exec(term);
    return asked && NUMBERS.includes(asked[1]) ? asked : null;
  }

  /** Those of its terms that are no conditions. @param {string} query */
  const words = (query) => terms(query).filter((term) => !condition(term) && term !== "unscored");

  /** Rows that a search finds. @param {string} query @param {string} env @param {boolean} [numbers] by its conditions alone */
  function search(query, env, numbers = false) {
    const c = R.columns;
    const code = env ? c.words.env.indexOf(env) : -1;
    /** @type {((row: number) => boolean)[]} */
    const tests = env ? [(row) => c.env[row] === code] : [];
    for (const term of terms(query)) {
      const asked = condition(term);
      if (asked) {
        const column = c[asked[1]], sign = asked[2], than = Number(asked[3]);
        tests.push((row) => {
          const value = column[row];
          if (value === null) return false;
          return sign === "<" ? value < than : sign === ">" ? value > than : sign === "=" ? Math.abs(value - than) < 1e-9 : sign === "<=" ? value <= than : value >= than;
        });
      } else if (term === "unscored") tests.push((row) => c.reward[row] === null);
      else if (!numbers) {
        const texts = lower();
        const hit = Object.fromEntries(["env", "task", "prompt", "status", "agent"].map((name) => [name, new Set(texts[name].flatMap((one, at) => (one.includes(term) ? [at] : [])))]));
        const names = Object.keys(hit).filter((name) => hit[name].size);
        tests.push((row) => names.some((name) => hit[name].has(c[name][row])) || texts.reply[row].includes(term));
      }
    }
    const rows = [];
    for (let i = 0; i < c.rows; i++) if (tests.every((test) => test(i))) rows.push(i);
    return rows;
  }

  /** @param {string} query @param {(query: string) => void} changed @param {string} hint */
  function searchBox(query, changed, hint) {
    let timer = 0;
    const box = /** @type {HTMLInputElement} */ (h("input.search", { type: "search", placeholder: hint, value: query, "aria-label": "Search", autocomplete: "off", spellcheck: "false",
      oninput: () => { clearTimeout(timer); timer = window.setTimeout(() => changed(box.value), 60); } }));
    return box;
  }

  const two = () => R.summary.runs.length > 1;

  /** @param {number} run */
  const runDot = (run) => h("span.dot", { class: run ? "other" : "own", title: R.summary.runs[run].name });

  /** @param {any} about its `found` has, by row, what to show instead of the last reply */
  function episodeTable(about) {
    const c = R.columns;
    const some = (/** @type {string} */ name) => c[name].some((/** @type {any} */ value) => value !== null && value !== 0);
    const num = (/** @type {string} */ name, /** @type {string} */ label, /** @type {(v: any) => any} */ say = number, track = "62px") =>
      ({ name, label, track, num: true, value: (/** @type {number} */ row) => c[name][row], cell: (/** @type {number} */ row) => say(c[name][row]) });
    const word = (/** @type {string} */ name, /** @type {string} */ label, /** @type {string} */ track, /** @type {(row: number) => any} */ cell, phone = false) =>
      ({ name, label, track, phone, value: (/** @type {number} */ row) => c.words[name][c[name][row]], cell });
    const line = (/** @type {number} */ row) => h("div.what",
      h("div", flat(c.words.prompt[c.prompt[row]])), h("div.muted", flat(about.found.get(row) ?? c.reply[row])));
    return new Table([
      { name: "reward", label: "Reward", track: "62px", num: true, left: true, phone: true, value: (row) => c.reward[row], cell: (row) => rewardMark(c.reward[row]) },
      ...(two() ? [{ name: "run", label: "", track: "24px", phone: true, value: (/** @type {number} */ row) => c.run[row], cell: (/** @type {number} */ row) => runDot(c.run[row]) }] : []),
      word("prompt", "Task and last reply", "minmax(180px, 4fr)", line, true),
      ...(c.words.env.length > 1 ? [word("env", "Environment", "minmax(128px, 1.2fr)", (row) => flat(shortEnv(c.words.env[c.env[row]])))] : []),
      word("task", "Task", "minmax(70px, 0.7fr)", (row) => h("span.mono", flat(c.words.task[c.task[row]]))),
      num("repeat", "Repeat", number, "58px"),
      ...(c.words.agent.length > 1 ? [word("agent", "Agent", "90px", (row) => flat(c.words.agent[c.agent[row]]))] : []),
      word("status", "Status", "112px", (row) => statusMark(c.words.status[c.status[row]])),
      num("turns", "Turns", number, "50px"),
      ...(some("sampled") ? [num("sampled", "Tokens")] : []),
      ...(some("logprob") ? [num("logprob", "Log-p", (v) => (v === null ? "–" : v.toFixed(2)), "56px")] : []),
      ...(some("errors") ? [num("errors", "Errors")] : []),
      ...(c.version.some((/** @type {any} */ v) => v) ? [num("version", "Weights", number, "68px")] : []),
      num("wall", "Time", duration, "78px"),
    ], about);
  }

  /** @param {string} env */
  const shortEnv = (env) => env.replace(/^llmgym\//, "");

  /** Tasks, with the rows of their episodes. @param {string} env */
  function tasksOf(env) {
    const c = R.columns, found = new Map();
    const code = env ? c.words.env.indexOf(env) : -1;
    for (let i = 0; i < c.rows; i++) {
      if (env && c.env[i] !== code) continue;
      const key = `${c.env[i]} ${c.content[i]} ${c.agent[i]}`;
      let task = found.get(key);
      if (!task) found.set(key, (task = { first: i, rows: [], sums: [[], []] }));
      task.rows.push(i);
      if (c.reward[i] !== null) task.sums[c.run[i]].push(c.reward[i]);
    }
    for (const task of found.values()) {
      const mean = (/** @type {number[]} */ of) => (of.length ? of.reduce((a, b) => a + b, 0) / of.length : null);
      const all = task.sums[0].concat(task.sums[1]);
      task.mean = mean(task.sums[0]);
      task.other = mean(task.sums[1]);
      task.delta = task.mean === null || task.other === null ? null : task.other - task.mean;
      task.solved = all.length ? all.filter((/** @type {number} */ r) => r >= R.summary.threshold - 1e-6).length / all.length : null;
      const [low, high] = all.reduce((/** @type {number[]} */ [a, b], /** @type {number} */ r) => [Math.min(a, r), Math.max(b, r)], [Infinity, -Infinity]);
      task.gap = all.length ? high - low : null;
    }
    return [...found.values()];
  }

  /** @param {any[]} tasks @param {any} about */
  function taskTable(tasks, about) {
    const c = R.columns;
    const num = (/** @type {string} */ name, /** @type {string} */ label, phone = false) =>
      ({ name, label, track: "82px", num: true, phone, value: (/** @type {number} */ i) => tasks[i][name], cell: (/** @type {number} */ i) => number(tasks[i][name]) });
    return new Table([
      { name: "mean", label: two() ? "First" : "Reward", track: "62px", num: true, left: true, phone: true, value: (i) => tasks[i].mean, cell: (i) => rewardMark(tasks[i].mean) },
      ...(two() ? [
        { name: "other", label: "Second", track: "62px", num: true, left: true, phone: true, value: (/** @type {number} */ i) => tasks[i].other, cell: (/** @type {number} */ i) => rewardMark(tasks[i].other) },
        { name: "delta", label: "Change", track: "82px", num: true, value: (/** @type {number} */ i) => tasks[i].delta, cell: (/** @type {number} */ i) => {
          const delta = tasks[i].delta;
          return delta === null ? "–" : h("span", { class: delta > 1e-6 ? "up" : delta < -1e-6 ? "down" : "muted" }, `${delta > 0 ? "+" : ""}${number(delta)}`);
        } }] : []),
      { name: "prompt", label: "Task", track: "minmax(170px, 4fr)", phone: true, value: (i) => c.words.prompt[c.prompt[tasks[i].first]],
        cell: (i) => h("div.what", h("div", flat(c.words.prompt[c.prompt[tasks[i].first]])), h("div.muted", flat(`${shortEnv(c.words.env[c.env[tasks[i].first]])} · ${c.words.task[c.task[tasks[i].first]]}`))) },
      { name: "repeats", label: "Repeats", track: two() ? "272px" : "minmax(96px, 1.4fr)", value: (i) => tasks[i].rows.length, cell: (i) => R.summary.runs.map((/** @type {any} */ _, /** @type {number} */ run) => episodes.squares(tasks[i].rows.filter((/** @type {number} */ row) => c.run[row] === run).slice(0, two() ? 8 : 16), [])) },
      num("solved", "Solved"), num("gap", "Gap"),
      ...(c.words.agent.length > 1 ? [{ name: "agent", label: "Agent", track: "90px", value: (/** @type {number} */ i) => c.words.agent[c.agent[tasks[i].first]], cell: (/** @type {number} */ i) => flat(c.words.agent[c.agent[tasks[i].first]]) }] : []),
    ], about);
  }

  /** Tasks that a search finds. @param {any[]} tasks @param {string} query */
  function searchTasks(tasks, query) {
    const found = new Set(query.trim() ? search(query, "") : []);
    return tasks.flatMap((task, i) => (!query.trim() || task.rows.some((/** @type {number} */ row) => found.has(row)) ? [i] : []));
  }

  /** @param {any} summary @param {string} env */
  function failures(summary, env) {
    const groups = summary.failures.filter((/** @type {any} */ one) => !env || one.envs[env]);
    if (!groups.length) return h("p.empty.good", "No episode failed.");
    const c = R.columns, code = env && c ? c.words.env.indexOf(env) : -1;
    return h("div.failures", groups.map((/** @type {any} */ one, /** @type {number} */ place) => h("details.card.failure", { open: place === 0 },
      h("summary", h("span.count", count(env ? one.envs[env] : one.count)), h("b", flat(one.kind.replace(/_/g, " "))), one.stage ? h("span.muted", `in ${flat(one.stage)}`) : null,
        one.error ? h("code", flat(one.error)) : null, h("span.words", flat(one.first.trim().split("\n").pop() ?? ""))),
      h("p.muted", Object.entries(one.envs).map(([name, many]) => `${flat(name)} ${count(/** @type {number} */ (many))}`).join(" · ")),
      h("h4", "The first of them"), prose(one.first || "(nothing was said)", "mono"),
      h("p", one.rows.filter((/** @type {number} */ row) => code < 0 || c.env[row] === code).map((/** @type {number} */ row, /** @type {number} */ at) => h("a.link", { href: `#/e/${row}` }, `episode ${at + 1}`))))));
  }

  return { search, words, searchBox, episodeTable, tasksOf, taskTable, searchTasks, failures, reset: () => { lowered = null; } };
})();
