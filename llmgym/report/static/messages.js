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

/** A number as it was written, where JavaScript has no such number. @param {string} _ @param {any} value @param {any} [context] */
const exactly = (_, value, context) => (typeof value === "number" && context?.source && String(value) !== context.source ? context.source : value);

/** Arguments of a call, one a line where they are an object. @param {string} text */
function argumentsOf(text) {
  let value;
  try {
    value = JSON.parse(text, exactly);
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

/** @param {any} turn @param {string} name */
function turnHead(turn, name) {
  const versions = [...new Set((turn.versions ?? []).map((/** @type {number[]} */ span) => span[0]))];
  return h("header",
    h("span.role", "assistant"), name ? h("span.turn", name) : null,
    turn.finish_reason ? h("span.chip.bad", flat(turn.finish_reason)) : null,
    turn.model ? h("span.chip", flat(turn.model)) : null,
    versions.length ? h("span.chip", `weights ${versions.join(" → ")}`) : null,
    h("span.grow"),
    turn.end ? h("span.note", many(turn.end - turn.start, "token")) : null,
    turn.engine_s ? h("span.note", duration(turn.engine_s)) : null,
    turn.reward === undefined ? null : h("span.earned", { class: turn.reward < 0 ? "minus" : "" }, turn.reward === null ? "unscored" : `${turn.reward > 0 ? "+" : ""}${number(turn.reward)}`));
}

/** @param {any} row */
function transcript(row) {
  const tools = row.pack.tools[row.tools] ?? [];
  const notes = new Map((row.compactions ?? []).map((/** @type {any} */ one) => [one.turn, one]));
  const out = [];
  if (tools.length) out.push(toolList(tools));
  let turn = 0;
  out.push(...talk(row, row.messages, (message, at) => {
    if (message.role !== "assistant" || at < row.opening) return null;
    const made = notes.get(turn);
    const attributes = { id: `turn-${row.number}-${turn}`, "data-turn": turn };
    return { before: made ? h("div.compaction", h("b", "context compacted"), made.note ? prose(made.note) : " old results of tools were cleared") : null,
      attributes, head: turnHead(row.turns[turn] ?? {}, `turn ${++turn}`) };
  }, (at) => (at < row.opening ? "" : row.played ? "from the program" : "from the environment")));
  out.push(...contexts(row));
  if (row.played) {
    out.push(h("details.modelcall.played", h("summary", h("b", "What the environment saw"), h("span.note", "the calls of the program, and its answer")),
      talk(row, row.played, (message) => (message.role === "assistant" ? { head: h("header", h("span.role", "program")) } : null), () => "")));
  }
  if (row.error) out.push(h("section.message.error", h("header", h("span.role", "failure"), row.failure ? h("span.note", flat(`${row.failure.kind} in ${row.failure.stage}: ${row.failure.error}`)) : null), prose(row.error, "mono")));
  for (const call of row.model_calls ?? []) {
    out.push(h("details.modelcall", h("summary", `${flat(call.role)} · ${flat(call.model)} · ${duration(call.seconds)}`),
      call.messages.map((/** @type {any} */ m) => plainMessage(m.role, m)), plainMessage("reply", call.reply)));
  }
  return h("div.transcript", out);
}

/** Messages, with the results of calls at these.
 * @param {any} row @param {any[]} messages
 * @param {(message: any, at: number) => any} said of a message that somebody is known to have said: its header, its attributes, and what stands before it
 * @param {(at: number) => string} note of other messages @param {number} [from] the first that is shown */
function talk(row, messages, said, note, from = 0) {
  const names = new Set((row.pack.tools[row.tools] ?? []).map((/** @type {any} */ one) => one.function?.name));
  const answered = new Set();
  /** The result of a call of a message: before the next one speaks, since ids may come again. @param {any} call @param {number} at */
  const resultOf = (call, at) => {
    for (let i = at + 1; i < messages.length && messages[i].role !== "assistant"; i++) {
      if (messages[i].role === "tool" && messages[i].tool_call_id === call.id && !answered.has(messages[i])) return messages[i];
    }
    return undefined;
  };
  /** @type {any[]} */
  const out = [];
  messages.forEach((message, at) => {
    if (at < from) return;
    const by = said(message, at);
    if (by || message.role === "assistant") {
      const calls = message.tool_calls ?? [];
      const thought = message.reasoning_content ?? message.reasoning;
      if (by?.before) out.push(by.before);
      out.push(h("section.message.assistant", by?.attributes ?? {}, by?.head ?? h("header", h("span.role", "assistant"), h("span.note", note(at))),
        thought ? h("details.thought", h("summary", "reasoning"), prose(pretty(thought))) : null,
        contentOf(message) ? prose(contentOf(message)) : calls.length ? null : h("div.text.muted", "(empty reply)"),
        calls.map((/** @type {any} */ call) => {
          const result = resultOf(call, at);
          answered.add(result);
          return callCard(call, result, row.played || !by || names.has(call.function?.name));
        })));
    } else if (message.role === "tool") {
      if (!answered.has(message)) out.push(plainMessage("tool", message, message.name ? flat(message.name) : ""));
    } else {
      out.push(plainMessage(message.role, message, note(at)));
    }
  });
  return out;
}

/** How a message begins, or which tools it calls. @param {any} message */
const excerptOf = (message) => contentOf(message).slice(0, 120) || (message.tool_calls ?? []).map((/** @type {any} */ call) => `${call.function?.name}()`).join(", ");

/** Why none of an episode's tokens are trained; "" where they are. @param {any} row */
const untrained = (row) => (row.trainable === false ? "an opponent's" : row.reward === null ? "unscored" : "");

/** What a context is to the agent, and whether its replies are trained. @param {any} row @param {any} segment */
function contextOf(row, segment) {
  if (segment.delivered === false) return { name: "Reply that reached nobody", trained: false };
  if (segment.role === "abandoned") return { name: "Reply that was dropped for another", trained: false };
  if (segment.role) return { name: segment.role === "auxiliary" ? "Beside the agent" : `Beside the agent: ${segment.role}`, trained: false };
  return { name: segment.messages ? "Another context of the agent" : "The conversation", trained: segment.spans.length > 0 && !untrained(row) };
}

/** @param {any} row @param {any} segment */
const trainedMark = (row, segment) => (contextOf(row, segment).trained ? h("span.chip", "trained") : h("span.chip.quiet", "not trained"));

/** The contexts that an agent program had beside its last conversation, each from where it parts from that.
 * @param {any} row */
function contexts(row) {
  return row.segments.map((/** @type {any} */ segment, /** @type {number} */ place) => {
    const messages = segment.messages;
    if (!messages) return null;
    const parts = messages.findIndex((/** @type {any} */ m, /** @type {number} */ at) => JSON.stringify(m) !== JSON.stringify(row.messages[at]));
    const apart = parts < 0 ? messages.length - 1 : parts;
    const own = (row.branches ?? []).filter((/** @type {any} */ turn) => (turn.segment ?? 0) === place);
    let left = messages.filter((/** @type {any} */ m) => m.role === "assistant").length - own.length;
    return h("details.modelcall.context", { "data-segment": place },
      h("summary", h("b", contextOf(row, segment).name), trainedMark(row, segment),
        h("span.note", apart ? `after ${many(apart, "message")} of the conversation` : "begun by itself"), h("span.excerpt", flat(excerptOf(messages[messages.length - 1])))),
      talk(row, messages, (message) => {
        if (message.role !== "assistant") return null;
        const turn = left-- > 0 ? undefined : own.shift();
        return turn ? { head: turnHead({ ...turn, reward: undefined }, "") } : { head: h("header", h("span.role", "assistant"), h("span.note", "in another context, or by the program")) };
      }, () => "", apart));
  }).filter(Boolean);
}

/** @param {any[]} tools */
function toolList(tools) {
  return h("details.tools", h("summary", h("b", many(tools.length, "tool")), " ", tools.map((one) => h("code", flat(one.function?.name ?? "?")))),
    tools.map((one) => h("div.tool", h("div.callname", flat(one.function?.name ?? "?")), prose(one.function?.description ?? ""),
      prose(pretty(one.function?.parameters ?? {}), "mono"))));
}
