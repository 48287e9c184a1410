// @ts-check
"use strict";
/** An episode, or several side by side: the repeats of a task, two runs, the agents of one. */
const episodes = (() => {
  let tab = "transcript";

  /** Rows of the same task, as far as a column tells tasks apart. @param {number} row @param {"task" | "content"} column @param {(other: number) => boolean} same */
  function others(row, column, same) {
    const c = R.columns, found = [];
    for (let i = 0; i < c.rows; i++) if (c.env[i] === c.env[row] && c[column][i] === c[column][row] && same(i)) found.push(i);
    return found;
  }

  /** @param {number} row */
  const repeatsOf = (row) => others(row, "content", (i) => R.columns.agent[i] === R.columns.agent[row]).sort((a, b) =>
    R.columns.run[a] - R.columns.run[b] || R.columns.repeat[a] - R.columns.repeat[b]);
  /** @param {number} row */
  const agentsOf = (row) => (R.columns.agents[row] < 2 ? [row]
    : others(row, "task", (i) => R.columns.repeat[i] === R.columns.repeat[row] && R.columns.run[i] === R.columns.run[row]));

  /** @param {number} number @returns {Promise<any>} */
  async function load(number) {
    const row = await R.episode(number);
    const c = R.columns;
    Object.assign(row, { number, run: c.run[number], status: c.words.status[c.status[number]], reward: c.reward[number],
      env: c.words.env[c.env[number]], task: c.words.task[c.task[number]], agent: c.words.agent[c.agent[number]], repeat: c.repeat[number], agents: c.agents[number] });
    return row;
  }

  /** As many rows as stand side by side, of each run alike. @param {number[]} rows */
  const abreast = (rows) => R.summary.runs.flatMap((/** @type {any} */ _, /** @type {number} */ run, /** @type {any[]} */ runs) =>
    rows.filter((row) => R.columns.run[row] === run).slice(0, 8 / runs.length));

  /** Small squares for rows, by their rewards. @param {number[]} rows @param {number[]} here */
  function squares(rows, here) {
    return h("span.squares", rows.slice(0, 256).map((other) => {
      const one = h("a.square", { href: `#/e/${other}`, class: here.includes(other) ? "here" : "",
        title: `${R.summary.runs.length > 1 ? `${R.summary.runs[R.columns.run[other]].name}, ` : ""}repeat ${R.columns.repeat[other]}: ${R.columns.reward[other] ?? "unscored"}` });
      const reward = R.columns.reward[other];
      if (reward !== null) one.style.background = colors.reward(shareOf(reward));
      return one;
    }));
  }

  /** @param {any} row */
  function parts(row) {
    const entries = Object.entries(row.parts);
    if (!entries.length) return null;
    return h("div.parts", entries.map(([name, [value, weight]]) => h("span.part", h("i", flat(name)),
      value === null ? "–" : number(value), weight === 1 ? null : h("small", ` × ${number(weight)}`))));
  }

  /** Where the time went, turn by turn. @param {any[]} rows @param {boolean} [agents] whether they are those of one episode */
  function lanes(rows, agents) {
    const totals = rows.map((row) => row.turns.reduce((/** @type {number} */ sum, /** @type {any} */ turn) => sum + (turn.engine_s || 0) + (turn.env_s || 0), 0));
    const most = Math.max(...totals);
    if (!(most > 0)) return null;
    return h("section.lanes", h("header", h("b", "Time"), h("span.key", h("span.dot.engine"), "engine"), h("span.key", h("span.dot.env"), "environment"),
      h("span.grow"), h("span.note", rows.length === 1 && rows[0].timings.wall_s ? `${duration(totals[0])} in turns, ${duration(rows[0].timings.wall_s)} in all` : duration(most))),
    rows.map((row, at) => {
      const lane = h("div.lane", { class: row.turns.length > 64 ? "many" : "" });
      row.turns.forEach((/** @type {any} */ turn, /** @type {number} */ index) => {
        const cell = h("a.cell", { title: `turn ${index + 1}: engine ${duration(turn.engine_s)}, environment ${duration(turn.env_s)}`,
          onclick: () => document.getElementById(`turn-${row.number}-${index}`)?.scrollIntoView({ behavior: "smooth", block: "center" }) });
        const spent = (turn.engine_s || 0) + (turn.env_s || 0);
        cell.style.flexGrow = String(spent / most);
        const engine = h("span.engine"), env = h("span.env"); // shares: what grows by less than 1 does not fill its place
        engine.style.flexGrow = String((turn.engine_s || 0) / spent || 0);
        env.style.flexGrow = String((turn.env_s || 0) / spent || 0);
        cell.append(engine, env);
        lane.append(cell);
      });
      const rest = h("span");
      rest.style.flexGrow = String(Math.max(0, 1 - totals[at] / most));
      lane.append(rest);
      return rows.length > 1 ? h("div.lanerow", h("span.lanename", R.summary.runs.length > 1 ? h("span.dot", { class: row.run ? "other" : "own" }) : null, flat(agents ? row.agent : ` repeat ${row.repeat}`)), lane) : lane;
    }));
  }

  /** @param {any} row */
  function details(row) {
    const table = (/** @type {string} */ title, /** @type {Record<string, any>} */ data) => {
      const entries = Object.entries(data ?? {});
      return entries.length ? h("section.facts", h("h3", title), h("dl", entries.map(([name, value]) => [h("dt", flat(name)),
        h("dd", typeof value === "number" ? number(value, 4) : prose(value === null ? "–" : pretty(value), "mono"))]))) : null;
    };
    return h("div.details",
      table("Episode", { id: row.id, seed: row.seed, attempts: row.attempts ?? 1, ...(row.policy ? { "played by": row.policy } : {}), ...(row.answer === undefined ? {} : { answer: row.answer }) }),
      table("Metrics", row.metrics), table("Seconds", row.timings), table("Tool errors", row.tool_errors), table("Usage", row.usage),
      table("Sampling", row.sampling), table("Task", row.metadata));
  }

  /** @param {any} row */
  const body = (row) => (tab === "tokens" ? tokens.view(row) : tab === "details" ? details(row) : transcript(row));

  /** @param {any} row @param {() => void} redraw */
  function tabs(row, redraw) {
    const names = ["transcript", "tokens", "details"];
    return h("nav.tabs", { role: "tablist" }, names.map((name, at) => h("button", { role: "tab", "aria-selected": String(tab === name), class: tab === name ? "on" : "",
      onclick: () => { tab = name; redraw(); } }, name[0].toUpperCase() + name.slice(1), h("kbd", String(at + 1)))));
  }

  /** @param {any} row @param {boolean} [small] @param {boolean} [agents] whether those of its episode stand beside it */
  function title(row, small, agents) {
    return h("div.hero", { class: small ? "small" : "" }, rewardMark(row.reward, "big"),
      h("div", h("div.herotitle", h("span.env", flat(agents ? row.agent : row.env)), statusMark(row.status)),
        h("div.muted", agents ? null : flat(`${row.task} · repeat ${row.repeat}${row.agents > 1 ? ` · ${row.agent}` : ""}`),
          R.summary.runs.length > 1 ? h("span.chip", { class: row.run ? "other" : "own" }, flat(R.summary.runs[row.run].name)) : null),
        parts(row)));
  }

  /** @param {number} number @param {HTMLElement} place */
  async function show(number, place) {
    const row = await load(number);
    const agents = agentsOf(number);
    if (agents.length > 1) return side(agents, place, true);
    const repeats = repeatsOf(number);
    const draw = () => {
      place.replaceChildren(h("article.episode",
        title(row),
        repeats.length > 1 ? h("div.repeats", h("span.muted", `${repeats.length} repeats`), squares(repeats, [number]),
          h("a.link", { href: `#/side/${abreast(repeats).join(",")}` }, "side by side")) : null,
        lanes([row]), tabs(row, draw), body(row)));
    };
    place.dataset.episode = row.id;
    draw();
    return draw;
  }

  /** @param {number[]} numbers @param {HTMLElement} place @param {boolean} [agents] whether they are those of one episode */
  async function side(numbers, place, agents) {
    const rows = await Promise.all(numbers.map(load));
    const draw = () => {
      const repeats = repeatsOf(numbers[0]);
      place.replaceChildren(h("article.episode.wide",
        h("div.sidehead", h("h2", flat(`${rows[0].env} · ${rows[0].task}${agents ? ` · repeat ${rows[0].repeat}` : ""}`)), h("span.muted", agents ? `${rows.length} agents` : `${rows.length} episodes side by side`),
          repeats.length > 1 ? squares(repeats, numbers) : null),
        lanes(rows, agents), tabs(rows[0], draw),
        h("div.columns", rows.map((row) => h("div.column", h(agents ? "div" : "a", agents ? {} : { href: `#/e/${row.number}` }, title(row, true, agents)), body(row))))));
    };
    place.dataset.episode = rows[0].id;
    draw();
    return draw;
  }

  return { show, side, repeatsOf, abreast, squares, choose(/** @type {number} */ at) { tab = ["transcript", "tokens", "details"][at] ?? tab; } };
})();
