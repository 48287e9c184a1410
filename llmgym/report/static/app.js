// @ts-check
"use strict";
/** Where one is (the address behind `#`), what is shown there, and the keyboard. */
(() => {
  const summary = () => R.summary;
  const app = /** @type {HTMLElement} */ (document.getElementById("app"));
  const main = h("main");
  const state = { env: "", query: "", deep: false, sort: "", down: false, taskQuery: "", taskSort: "", taskDown: false, chosen: -1 };
  /** @type {number[]} */
  let order = []; // rows of the last list, for j and k
  /** @type {Table | null} */
  let table = null;
  /** @type {(() => void) | null} */
  let redraw = null;
  let ready = false;
  /** What was found in transcripts last, and by what. @type {{asked: string, rows: Map<number, string>}} */
  let kept = { asked: "", rows: new Map() };
  let shown = "";

  const PAGES = /** @type {[string, string][]} */ ([["", "Overview"], ["episodes", "Episodes"], ["tasks", "Tasks"], ["failures", "Failures"]]);
  const path = () => location.hash.replace(/^#\/?/, "");
  const go = (/** @type {string} */ to) => { location.hash = `#/${to}`; };

  function header() {
    const runs = summary().runs;
    const here = path().split("/")[0];
    const envs = [...new Set(runs.flatMap((/** @type {any} */ run) => Object.keys(run.envs)))].sort();
    const select = h("select", { "aria-label": "Environment", onchange: (/** @type {Event} */ event) => {
      state.env = /** @type {HTMLSelectElement} */ (event.target).value;
      show();
    } }, h("option", { value: "" }, `all ${envs.length} environments`), envs.map((name) => h("option", { value: name, selected: state.env === name }, flat(String(name)))));
    const failed = summary().failures.reduce((/** @type {number} */ sum, /** @type {any} */ one) => sum + one.count, 0);
    return h("header.top",
      h("div.bar", h("a.brand", { href: "#/" }, h("i"), h("span", "llmgym")),
        h("div.runs", runs.map((/** @type {any} */ run, /** @type {number} */ at) => [at ? h("span.muted", "and") : null, runs.length > 1 ? h("span.dot", { class: at ? "other" : "own" }) : null, h("b", flat(run.name)), facts(run)])),
        summary().live ? h("span.live", "live") : null, h("span.grow"),
        envs.length > 1 ? select : null,
        h("button.icon", { title: "keys (?)", onclick: help }, "?"),
        h("button.icon", { title: "dark or light (d)", onclick: theme }, "◐")),
      h("div.bar", h("nav.pages", PAGES.map(([to, name]) => h("a", { href: `#/${to}`, class: here === to || (to === "episodes" && here === "e") || (to === "tasks" && here === "side") ? "on" : "" }, name,
        to === "failures" && failed ? h("span.pill", count(failed)) : null)))));
  }

  /** @param {any} run */
  function facts(run) {
    const said = [run.confirmed?.model ?? run.config?.policy, run.versions?.llmgym ? `llmgym ${run.versions.llmgym}` : null,
      run.sessions?.length ? run.sessions[run.sessions.length - 1].slice(0, 16).replace("T", " ") : null];
    return h("span.facts", flat(said.filter((one) => typeof one === "string").join(" · ")));
  }

  function theme() {
    document.documentElement.dataset.theme = colors.dark() ? "light" : "dark";
    show();
  }

  function help() {
    const keys = [["j, k", "next and previous"], ["Enter", "open"], ["/", "search"], ["Esc", "back"], ["1 2 3", "transcript, tokens, details"], ["m", "marks for hidden characters"], ["d", "dark or light"], ["g", "overview"]];
    const box = h("dialog.help", { onclick: () => box.remove() }, h("h3", "Keys"), h("dl", keys.map(([key, what]) => [h("dt", h("kbd", key)), h("dd", what)])),
      h("p.muted", "A search takes words and conditions such as ", h("code", "reward<0.5 turns>3"), ", and texts in quotes. In transcripts, it finds what has all of them."));
    document.body.append(box);
    /** @type {any} */ (box).showModal();
  }

  /** @param {string} what */
  const waiting = (what) => h("p.empty", what);

  function warnings() {
    const found = [];
    if (summary().num_problems) found.push(h("details.warning", h("summary", `${many(summary().num_problems, "row")} left out, which cannot be used`), h("ul", summary().problems.map((/** @type {string} */ one) => h("li", flat(one))))));
    for (const run of summary().runs) if (run.torn && !summary().live) found.push(h("p.warning", `The last line of ${flat(run.name)} has no end: it was being written, or was cut off.`));
    return found;
  }

  function showOverview() {
    const plots = h("div");
    main.replaceChildren(h("div.page", warnings(), overview.tiles(summary(), state.env), plots));
    if (!ready) return;
    overview.plots(plots, state.env);
    const envs = new Set(summary().runs.flatMap((/** @type {any} */ run) => Object.keys(run.envs)));
    if (envs.size > 1) plots.append(overview.environments((/** @type {string} */ env) => { state.env = env; show(); }));
  }

  function showEpisodes() {
    const note = h("span.note");
    const put = (/** @type {number[]} */ rows, /** @type {string} */ of) => {
      note.textContent = `${count(rows.length)} of ${of}`;
      table?.show(rows, state.chosen);
      order = table?.rows ?? [];
    };
    const find = () => {
      const words = state.deep ? lists.words(state.query) : [];
      const rows = lists.search(state.query, state.env, words.length > 0);
      const asked = (about.asked = JSON.stringify([words, state.query, state.env, R.columns.rows]));
      about.found = words.length ? (kept.asked === asked ? kept.rows : new Map()) : new Map();
      if (!words.length) return put(rows, count(R.columns.rows));
      if (kept.asked === asked) return put([...kept.rows.keys()], count(rows.length));
      put([], "0");
      return transcripts.look(rows, words, (found, seen) => {
        if (table !== mine || about.asked !== asked) return false;
        about.found = found;
        put([...found.keys()], seen < rows.length ? `the first ${count(seen)}, of ${count(rows.length)}` : count(seen));
        if (seen === rows.length) kept = { asked, rows: found };
        return true;
      }).catch((error) => { note.textContent = String(error.message); });
    };
    const deep = h("label.deep", { title: "Look for words in all that was said, calls and results too" }, h("input", { type: "checkbox", checked: state.deep,
      onchange: (/** @type {Event} */ event) => {
        const box = /** @type {HTMLInputElement} */ (event.target);
        state.deep = box.checked;
        box.blur();
        find();
      } }), "in transcripts");
    const about = { found: new Map(), asked: "", sort: state.sort, down: state.down, open: (/** @type {number} */ row) => { state.chosen = row; go(`e/${row}`); },
      sorted: (/** @type {string} */ name, /** @type {boolean} */ down) => { state.sort = name; state.down = down; order = table?.rows ?? []; } };
    const mine = (table = lists.episodeTable(about));
    main.replaceChildren(h("div.page.fill", h("div.tools", lists.searchBox(state.query, (query) => { state.query = query; state.chosen = -1; find(); }, "Search ids, prompts, replies; reward<0.5 turns>3"), deep, note), table.element));
    find();
  }

  function showTasks() {
    const tasks = lists.tasksOf(state.env);
    const note = h("span.note");
    const find = () => {
      const rows = lists.searchTasks(tasks, state.taskQuery);
      note.textContent = `${count(rows.length)} of ${count(tasks.length)}`;
      table?.show(rows);
    };
    table = lists.taskTable(tasks, { sort: state.taskSort, down: state.taskDown, open: (/** @type {number} */ i) => go(tasks[i].rows.length > 1 ? `side/${episodes.abreast(tasks[i].rows).join(",")}` : `e/${tasks[i].first}`),
      sorted: (/** @type {string} */ name, /** @type {boolean} */ down) => { state.taskSort = name; state.taskDown = down; } });
    main.replaceChildren(h("div.page.fill", h("div.tools", lists.searchBox(state.taskQuery, (query) => { state.taskQuery = query; find(); }, "Search tasks"), note,
      summary().runs.length > 1 ? pairs(tasks) : null), table.element));
    find();
  }

  /** What became of the tasks that two runs share. @param {any[]} tasks */
  function pairs(tasks) {
    const both = tasks.filter((task) => task.delta !== null);
    const better = both.filter((task) => task.delta > 1e-6).length, worse = both.filter((task) => task.delta < -1e-6).length;
    return h("span.pairs", `${many(both.length, "task")} in both: `, h("b.up", `${count(better)} better`), ", ", h("b.down", `${count(worse)} worse`), `, ${count(both.length - better - worse)} equal`);
  }

  /** @param {string} kind @param {string} rest */
  async function showEpisode(kind, rest) {
    const numbers = rest.split(",").map(Number).filter((one) => Number.isInteger(one) && one >= 0 && one < R.columns.rows);
    const place = h("div.page");
    const at = order.indexOf(numbers[0]);
    const steps = kind === "e" ? h("span.steps", h("button", { onclick: () => step(-1), disabled: order.length ? at <= 0 : numbers[0] <= 0 }, "←"),
      h("span.note", order.length && at >= 0 ? `${count(at + 1)} of ${count(order.length)}` : ""), h("button", { onclick: () => step(1) }, "→")) : null;
    const stage = h("div");
    place.append(h("div.crumbs", h("a", { href: kind === "e" ? "#/episodes" : "#/tasks" }, kind === "e" ? "Episodes" : "Tasks"), h("span.grow"), steps), stage);
    main.replaceChildren(place);
    if (!numbers.length) return stage.append(waiting("There is no such episode."));
    const mine = shown;
    try {
      const draw = kind === "e" ? await episodes.show(numbers[0], stage) : await episodes.side(numbers, stage);
      if (shown === mine) redraw = draw;
    } catch (error) {
      stage.append(h("p.warning", String(/** @type {Error} */ (error).message)));
    }
    return undefined;
  }

  /** @param {number} by */
  function step(by) {
    const now = Number(path().split("/")[1]);
    const rows = order.length ? order : Array.from({ length: R.columns.rows }, (_, i) => i);
    const next = rows[rows.indexOf(now) + by];
    if (next !== undefined) {
      state.chosen = next;
      go(`e/${next}`);
    }
  }

  function show() {
    const [kind, rest] = path().split("/");
    const same = shown === path();
    shown = path();
    table = null;
    redraw = null;
    charts.forget();
    app.replaceChildren(header(), main);
    if (!same) scrollTo(0, 0);
    document.body.dataset.page = kind || "overview";
    if (kind === "" || kind === undefined) return showOverview();
    if (kind === "failures") return main.replaceChildren(h("div.page", lists.failures(summary(), state.env)));
    if (!ready) return main.replaceChildren(waiting("Loading…"));
    if (kind === "episodes") return showEpisodes();
    if (kind === "tasks") return showTasks();
    if (kind === "e" || kind === "side") return showEpisode(kind, rest ?? "");
    return main.replaceChildren(waiting("There is no such page."));
  }

  function back() {
    const kind = path().split("/")[0];
    if (kind === "e") go("episodes");
    else if (kind === "side") go("tasks");
    else if (kind) go("");
  }

  addEventListener("keydown", (event) => {
    const typing = event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement;
    const open = document.querySelector("dialog.help");
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") {
      if (open) open.remove();
      else if (typing) /** @type {HTMLElement} */ (event.target).blur();
      else back();
      return;
    }
    if (typing && event.key === "Enter" && table) {
      /** @type {HTMLElement} */ (event.target).blur();
      table.move(table.at < 0 ? 1 : 0);
      return;
    }
    if (typing) return;
    const page = path().split("/")[0];
    const keys = /** @type {Record<string, () => void>} */ ({
      j: () => (table ? table.move(1) : page === "e" && step(1)),
      k: () => (table ? table.move(-1) : page === "e" && step(-1)),
      Enter: () => table?.enter(),
      "/": () => { const box = /** @type {HTMLElement | null} */ (document.querySelector(".search")); if (box) box.focus(); else { go("episodes"); setTimeout(() => /** @type {HTMLElement | null} */ (document.querySelector(".search"))?.focus(), 50); } },
      "?": help, d: theme, g: () => go(""),
      m: () => { marks.shown = !marks.shown; show(); },
      1: () => { episodes.choose(0); redraw?.(); }, 2: () => { episodes.choose(1); redraw?.(); }, 3: () => { episodes.choose(2); redraw?.(); },
    });
    const act = keys[event.key];
    if (act && !(event.key === "Enter" && event.target instanceof HTMLAnchorElement)) {
      event.preventDefault();
      act();
    }
  });

  function measure() {
    const rewards = R.columns.reward;
    let low = 0, high = -Infinity;
    for (const reward of rewards) if (reward !== null) { low = Math.min(low, reward); high = Math.max(high, reward); }
    R.columns.rewards = { low, high: high > low ? Math.max(high, low < 0 ? high : Math.min(1, Math.max(high, 1))) : 1 };
    lists.reset();
  }

  /** Show what is new, and leave alone what a person looks at. */
  function refresh() {
    measure();
    if (["e", "side"].includes(path().split("/")[0]) || document.activeElement?.tagName === "INPUT") return;
    const folds = () => /** @type {HTMLDetailsElement[]} */ ([...main.querySelectorAll("details")]);
    const named = (/** @type {HTMLDetailsElement} */ one) => one.querySelector("summary")?.lastChild?.textContent;
    const open = new Map(folds().map((one) => [named(one), one.open]));
    const top = scrollY, chosen = table?.rows[table.at], down = table?.scroller.scrollTop ?? 0;
    show();
    for (const one of folds()) one.open = open.get(named(one)) ?? one.open;
    if (table) {
      if (chosen !== undefined) table.at = table.rows.indexOf(chosen);
      table.scroller.scrollTop = down;
      table.paint();
    }
    scrollTo(0, top);
  }

  R.start();
  show();
  addEventListener("hashchange", show);
  addEventListener("DOMContentLoaded", async () => {
    try {
      await R.index();
    } catch (error) {
      main.append(h("p.warning", `The page is damaged: ${/** @type {Error} */ (error).message}`));
      return;
    }
    measure();
    ready = true;
    show();
    document.body.dataset.ready = "yes";
    if (summary().live) R.watch(refresh);
  });
})();
