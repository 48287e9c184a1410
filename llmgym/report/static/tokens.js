// @ts-check
"use strict";
/** The tokens of an episode: what the policy was shown, what it sampled and how sure it was, and what a loss is taken of. */
const tokens = (() => {
  const PIECE = 4000; // tokens that are put into the page at once
  const HEAD = 48, TAIL = 72; // of a long run of context
  const WHITE = { "\n": "⏎", "\t": "⇥", "\r": "␍" };
  let folded = false;

  /** @param {any} row @param {any} segment @param {number} place of the segment */
  function turnsOf(row, segment, place) {
    const replies = row.turns.map((/** @type {any} */ turn, /** @type {number} */ at) => ({ turn, name: `turn ${at + 1}` }));
    for (const turn of row.branches ?? []) replies.push({ turn, name: "reply" });
    for (const made of row.compactions ?? []) if (made.summary) replies.push({ turn: made.summary, name: "summary" });
    return replies.filter((/** @type {any} */ one) => one.turn.end && (one.turn.segment ?? 0) === place)
      .sort((/** @type {any} */ a, /** @type {any} */ b) => a.turn.start - b.turn.start);
  }

  /** Runs of tokens that are alike: sampled or not, by one turn, of one version of the weights. */
  function runsOf(/** @type {any} */ row, /** @type {any} */ segment, /** @type {number} */ place) {
    const runs = [];
    const turns = turnsOf(row, segment, place);
    let at = 0;
    for (const [start, end] of segment.spans) {
      if (start > at) runs.push({ start: at, end: start, sampled: false, label: "", version: null });
      let from = start;
      while (from < end) {
        const found = turns.find((/** @type {any} */ one) => one.turn.start <= from && from < one.turn.end);
        const next = found ? Math.min(end, found.turn.end) : Math.min(end, ...turns.map((/** @type {any} */ one) => one.turn.start).filter((/** @type {number} */ s) => s > from));
        const versions = found?.turn.versions?.length ? found.turn.versions : [[null, 0, next - from]];
        let label = found && found.turn.start === from ? found.name : "";
        for (const [version, a, b] of versions) {
          const s = found ? found.turn.start + a : from, e = Math.min(next, found ? found.turn.start + b : next);
          if (e > s) runs.push({ start: s, end: e, sampled: true, label, version });
          label = "";
        }
        from = next;
      }
      at = end;
    }
    if (at < segment.length) runs.push({ start: at, end: segment.length, sampled: false, label: "", version: null });
    return runs;
  }

  /** @param {any} row */
  function textsOf(row) {
    const all = Object.values(row.pack.texts);
    return all.length > 1 ? (R.summary.runs[row.run] ? row.pack.texts[R.summary.runs[row.run].vocabulary.name] : all[0]) ?? {} : all[0] ?? {};
  }

  /** @param {string | undefined} text @param {number} id */
  function shownText(text, id) {
    if (text === undefined) return [h("span.id", String(id))];
    const parts = [];
    for (const piece of text.split(/([\n\t\r])/)) {
      if (piece in WHITE) parts.push(h("span.white", WHITE[/** @type {"\n"} */ (piece)]), piece === "\n" ? "\n" : "");
      else if (piece) parts.push(...plain(piece));
    }
    return parts;
  }

  /** @param {any} row */
  function view(row) {
    if (!row.segments.length) return h("div.tokens", h("p.empty", "This episode has no tokens: its policy gives none."));
    const texts = textsOf(row);
    const missing = R.summary.runs[row.run].vocabulary.missing;
    const inspector = h("div.inspector", h("span.muted", "Point at a token, or tap it."));
    const box = h("div.tokens", legend(row), missing ? h("p.warning", `Ids stand for texts: ${flat(missing)}.`) : null);
    if (folded) box.classList.add("folded");
    row.segments.forEach((/** @type {any} */ segment, /** @type {number} */ place) => box.append(segmentView(row, segment, place, texts)));
    box.append(inspector);
    /** @type {HTMLElement | null} */
    let marked = null;
    const look = (/** @type {Event} */ event) => {
      const target = /** @type {HTMLElement} */ (event.target).closest?.(".token");
      if (!(target instanceof HTMLElement) || target === marked) return;
      marked?.classList.remove("looked");
      marked = target;
      marked.classList.add("looked");
      inspector.replaceChildren(...inspect(row, Number(target.dataset.segment), Number(target.dataset.at), texts));
    };
    box.addEventListener("mouseover", look);
    box.addEventListener("click", look);
    return box;
  }

  /** @param {any} row */
  function legend(row) {
    const bar = h("span.scale", [0, 0.1, 0.3, 0.7, 1.2, 2, 3, 4, 5, 6].map((surprise) => {
      const one = h("span");
      one.style.background = colors.surprise(-surprise);
      return one;
    }));
    const button = h("button.lesser", { onclick: (/** @type {Event} */ event) => {
      folded = !folded;
      /** @type {HTMLElement} */ (event.target).closest(".tokens")?.classList.toggle("folded", folded);
      /** @type {HTMLElement} */ (event.target).textContent = folded ? "show context" : "hide context";
    } }, folded ? "show context" : "hide context");
    const mode = row.sampling?.logprobs_mode;
    return h("div.legend",
      h("span.key", h("span.token.sampled", "sampled"), untrained(row) ? `not trained: ${untrained(row)}` : "in the loss"),
      h("span.key", h("span.token.context", "context"), "masked"),
      h("span.key", "p = 1", bar, "p ≤ 0.0025"),
      mode ? h("span.key.muted", `log-probabilities: ${flat(String(mode))}`) : null,
      h("span.grow"), button);
  }

  /** @param {any} row @param {any} segment @param {number} place @param {any} texts */
  function segmentView(row, segment, place, texts) {
    const sampled = segment.spans.reduce((/** @type {number} */ sum, /** @type {number[]} */ span) => sum + span[1] - span[0], 0);
    let total = 0;
    for (const [start, end] of segment.spans) for (let i = start; i < end; i++) total += R.logprob(row.pack, segment.at + i) ?? 0;
    const body = h("div.stream");
    const runs = runsOf(row, segment, place);
    /** @type {{run: any, at: number}[]} */
    const queue = runs.map((run) => ({ run, at: run.start }));
    const more = h("button.more", { onclick: () => fill() });
    function fill() {
      let left = PIECE;
      while (queue.length && left > 0) {
        const { run, at } = queue[0];
        const end = Math.min(run.end, at + left);
        left -= end - at;
        body.insertBefore(runView(row, segment, place, run, at, end, texts), more);
        if (end === run.end) queue.shift();
        else queue[0].at = end;
      }
      const rest = queue.reduce((sum, one) => sum + one.run.end - one.at, 0);
      more.textContent = `show ${count(Math.min(PIECE, rest))} more of ${count(rest)} tokens`;
      more.hidden = !rest;
    }
    body.append(more);
    fill();
    return h("section.segment", { class: contextOf(row, segment).trained ? "" : "untrained" },
      h("header", h("b", row.segments.length > 1 ? `Segment ${place + 1} of ${row.segments.length}` : "One segment"),
        row.played ? [h("span.note", contextOf(row, segment).name), trainedMark(row, segment)] : null,
        h("span.note", `${many(segment.length, "token")}, ${count(sampled)} sampled`),
        sampled ? h("span.note", `mean log-probability ${number(total / sampled)}`) : null),
      strip(row, segment), body);
  }

  /** All tokens of a segment as a strip of color. @param {any} row @param {any} segment */
  function strip(row, segment) {
    const canvas = /** @type {HTMLCanvasElement} */ (h("canvas.strip", { "aria-hidden": "true" }));
    const cells = Math.min(segment.length, 900);
    canvas.width = Math.max(1, cells);
    canvas.height = 1;
    const context = canvas.getContext("2d");
    if (!context) return canvas;
    const low = new Float32Array(cells).fill(1);
    for (const [start, end] of segment.spans) {
      for (let i = start; i < end; i++) {
        const cell = Math.floor((i / segment.length) * cells);
        low[cell] = Math.min(low[cell] > 0 ? 0 : low[cell], R.logprob(row.pack, segment.at + i) ?? 0);
      }
    }
    const context_ = colors.css("--line"), certain = colors.css("--sampled");
    for (let i = 0; i < cells; i++) {
      context.fillStyle = low[i] > 0 ? context_ : certain;
      context.fillRect(i, 0, 1, 1);
      if (low[i] < -0.02) {
        context.fillStyle = colors.surprise(low[i]);
        context.fillRect(i, 0, 1, 1);
      }
    }
    return canvas;
  }

  /** @param {any} row @param {any} segment @param {number} place @param {any} run @param {number} from @param {number} to @param {any} texts */
  function runView(row, segment, place, run, from, to, texts) {
    const out = h("span.run", { class: run.sampled ? "sampled" : "context" });
    if (from === run.start && run.sampled && (run.label || run.version !== null)) {
      const version = run.version === null ? "" : `weights ${run.version}`;
      out.append(h("span.badge", [run.label, version].filter(Boolean).join(" · ")));
    }
    if (!run.sampled) out.append(h("span.fold", `${many(to - from, "token")} of context`));
    const one = (/** @type {number} */ i) => {
      const id = row.pack.ids[segment.at + i];
      const token = h("span.token", { class: run.sampled ? "sampled" : "context", "data-segment": place, "data-at": i },
        shownText(texts[id], id));
      if (run.sampled) {
        const logprob = R.logprob(row.pack, segment.at + i);
        if (logprob !== null) token.style.backgroundColor = colors.surprise(logprob);
      }
      return token;
    };
    const all = (/** @type {number} */ a, /** @type {number} */ b) => Array.from({ length: b - a }, (_, i) => one(a + i));
    if (run.sampled || to - from <= HEAD + TAIL + 40) out.append(...all(from, to));
    else {
      const more = h("button.between", { onclick: () => more.replaceWith(...all(from + HEAD, to - TAIL)) }, `${count(to - from - HEAD - TAIL)} more tokens of context`);
      out.append(...all(from, from + HEAD), more, ...all(to - TAIL, to));
    }
    return out;
  }

  /** @param {any} row @param {number} place @param {number} at @param {any} texts */
  function inspect(row, place, at, texts) {
    const segment = row.segments[place];
    const id = row.pack.ids[segment.at + at];
    const logprob = R.logprob(row.pack, segment.at + at);
    const run = runsOf(row, segment, place).find((one) => one.start <= at && at < one.end);
    const turn = turnsOf(row, segment, place).find((/** @type {any} */ one) => one.turn.start <= at && at < one.turn.end);
    const field = (/** @type {string} */ name, /** @type {any} */ value) => h("span.field", h("i", name), value);
    return [
      h("code.big", JSON.stringify(texts[id] ?? `#${id}`).slice(1, -1).replace(HIDDEN, markOf)),
      field("id", String(id)), field("place", count(at)),
      run?.sampled ? field("probability", logprob === null ? "unknown" : number(Math.exp(logprob), 4)) : field("loss", "masked"),
      run?.sampled && !contextOf(row, segment).trained ? field("loss", "not trained") : null,
      run?.sampled && logprob !== null ? field("log", logprob.toFixed(3)) : null,
      turn ? field("in", turn.name) : null,
      run?.version !== null && run?.version !== undefined ? field("weights", String(run.version)) : null,
    ].filter((part) => part !== null);
  }

  return { view };
})();
