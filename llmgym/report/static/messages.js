// @ts-check
"use strict";
/** The messages of an episode: each reply with its tool calls, their results, and what the step earned. */

/** The share of a reward between the least and the greatest that there is. @param {number} reward */
function shareOf(reward) {
  const { low, high } = R.columns?.rewards ?? { low: 0, high: 1 };
  return high > low ? (reward - low) / (high - low) : 1;
}

/** @param {number | null | undefined} reward @param {string} [kind] */
function rewardMark(reward, kind = "") {
  if (reward === null || reward === undefined) return h("span.reward.none", { class: kind }, "–");
  const mark = h("span.reward", { class: kind }, number(reward));
  mark.style.setProperty("--shade", colors.reward(shareOf(reward)));
  return mark;
}

/** @param {string} status */
function statusMark(status) {
  const kind = { completed: "good", env_error: "bad", policy_error: "bad", timeout: "bad" }[status] ?? "limit";
  return h("span.status", { class: kind }, flat(status.replace(/_/g, " ")));
}

/** Arguments of a call, one a line where they are an object. @param {string} text */
function argumentsOf(text) {
  let value;
  try {
    value = JSON.parse(text);
  } catch {
    return h("div.arguments.broken", prose(text, "mono"), h("span.note", "no JSON"));
  }
  if (value === null || typeof value !== "object" || Array.isArray(value)) return prose(text, "mono arguments");
  const entries = Object.entries(value);
  if (!entries.length) return h("div.arguments", h("span.muted", "no arguments"));
  return h("dl.arguments", entries.map(([name, one]) => [h("dt", flat(name)), h("dd", prose(pretty(one), "mono"))]));
}

/** @param {any} call @param {any} result @param {boolean} known whether the tool is offered */
function callCard(call, result, known) {
  const name = call.function?.name ?? "";
  return h("div.call",
    h("div.callhead", h("span.callname", flat(name) || "(no name)"), known ? null : h("span.chip.bad", "no such tool")),
    argumentsOf(call.function?.arguments ?? ""),
    result ? h("div.result", h("span.role", "result"), prose(contentOf(result), "mono")) : h("div.result.none", "no result"));
}

/** @param {any} message */
function contentOf(message) {
  const content = message.content;
  return content === null || content === undefined ? "" : pretty(content);
}

/** @param {string} role @param {any} message @param {string} [note] */
function plainMessage(role, message, note) {
  return h("section.message", { class: /^\w+$/.test(role) ? role : "other" },
    h("header", h("span.role", flat(role)), note ? h("span.note", note) : null),
    prose(contentOf(message)));
}

/** @param {any} turn @param {number} at */
function turnHead(turn, at) {
  const versions = [...new Set((turn.versions ?? []).map((/** @type {number[]} */ span) => span[0]))];
  return h("header",
    h("span.role", "assistant"), h("span.turn", `turn ${at + 1}`),
    turn.finish_reason ? h("span.chip.bad", flat(turn.finish_reason)) : null,
    turn.model ? h("span.chip", flat(turn.model)) : null,
    versions.length ? h("span.chip", `weights ${versions.join(" → ")}`) : null,
    h("span.grow"),
    turn.end ? h("span.note", `${count(turn.end - turn.start)} tokens`) : null,
    turn.engine_s ? h("span.note", duration(turn.engine_s)) : null,
    turn.reward === undefined ? null : h("span.earned", { class: turn.reward < 0 ? "minus" : "" }, turn.reward === null ? "unscored" : `${turn.reward > 0 ? "+" : ""}${number(turn.reward)}`));
}

/** @param {any} row */
function transcript(row) {
  const tools = row.pack.tools[row.tools] ?? [];
  const names = new Set(tools.map((/** @type {any} */ one) => one.function?.name));
  const results = new Map();
  row.messages.forEach((/** @type {any} */ m) => { if (m.role === "tool" && !results.has(m.tool_call_id)) results.set(m.tool_call_id, m); });
  const answered = new Set();
  const notes = new Map((row.compactions ?? []).map((/** @type {any} */ one) => [one.turn, one]));
  const out = [];
  if (tools.length) out.push(toolList(tools));
  let turn = 0;
  row.messages.forEach((/** @type {any} */ message, /** @type {number} */ at) => {
    if (message.role === "assistant" && at >= row.opening) {
      const made = notes.get(turn);
      if (made) out.push(h("div.compaction", h("b", "context compacted"), made.note ? prose(made.note) : " old results of tools were cleared"));
      const calls = message.tool_calls ?? [];
      const thought = message.reasoning_content ?? message.reasoning;
      out.push(h("section.message.assistant", { id: `turn-${turn}`, "data-turn": turn },
        turnHead(row.turns[turn] ?? {}, turn),
        thought ? h("details.thought", h("summary", "reasoning"), prose(pretty(thought))) : null,
        contentOf(message) ? prose(contentOf(message)) : calls.length ? null : h("div.text.muted", "(empty reply)"),
        calls.map((/** @type {any} */ call) => {
          const result = results.get(call.id);
          if (result) answered.add(result);
          return callCard(call, result, names.has(call.function?.name));
        })));
      turn++;
    } else if (message.role === "tool") {
      if (!answered.has(message)) out.push(plainMessage("tool", message, message.name ? flat(message.name) : ""));
    } else {
      out.push(plainMessage(message.role, message, at < row.opening ? "" : "from the environment"));
    }
  });
  if (row.error) out.push(h("section.message.error", h("header", h("span.role", "failure"), row.failure ? h("span.note", flat(`${row.failure.kind} in ${row.failure.stage}: ${row.failure.error}`)) : null), prose(row.error, "mono")));
  for (const call of row.model_calls ?? []) {
    out.push(h("details.modelcall", h("summary", `${flat(call.role)} · ${flat(call.model)} · ${duration(call.seconds)}`),
      call.messages.map((/** @type {any} */ m) => plainMessage(m.role, m)), plainMessage("reply", call.reply)));
  }
  return h("div.transcript", out);
}

/** @param {any[]} tools */
function toolList(tools) {
  return h("details.tools", h("summary", h("b", `${tools.length} tools`), " ", tools.map((one) => h("code", flat(one.function?.name ?? "?")))),
    tools.map((one) => h("div.tool", h("div.callname", flat(one.function?.name ?? "?")), prose(one.function?.description ?? ""),
      prose(pretty(one.function?.parameters ?? {}), "mono"))));
}
