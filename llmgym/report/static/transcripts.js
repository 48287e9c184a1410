// @ts-check
"use strict";
/** Words looked for in all that was said, pack by pack: no more than one is held, however long a run is. */
const transcripts = (() => {
  const BEFORE = 12, BEHIND = 120; // characters around what was found, of which a narrow column shows the first

  /** @param {any} value */
  const text = (value) => (value === null || value === undefined ? "" : typeof value === "string" ? value : JSON.stringify(value));

  /** All that was said in an episode, in other contexts of a program too. @param {any} row */
  const said = (row) => [...row.messages, ...row.segments.flatMap((/** @type {any} */ segment) => segment.messages ?? [])].flatMap((/** @type {any} */ message) => [text(message.reasoning_content ?? message.reasoning), text(message.content),
    ...(message.tool_calls ?? []).map((/** @type {any} */ call) => `${call.function?.name} ${text(call.function?.arguments)}`)]).join("\n");

  /** @param {string} whole @param {number} at @param {number} length */
  const around = (whole, at, length) => `${at > BEFORE ? "…" : ""}${whole.slice(Math.max(0, at - BEFORE), at + length + BEHIND)}`;

  /**
   * Find the rows that have all words, each with what stands around the first.
   * @param {number[]} rows in the order of the run
   * @param {string[]} words in lower case
   * @param {(found: Map<number, string>, seen: number) => boolean} told after each pack; whether to go on
   */
  async function look(rows, words, told) {
    const found = new Map(), size = R.summary.pack;
    for (let i = 0; i < rows.length;) {
      const number = Math.floor(rows[i] / size);
      const pack = await R.rows(number);
      for (; i < rows.length && Math.floor(rows[i] / size) === number; i++) {
        const whole = said(pack[rows[i] % size]), low = whole.toLowerCase();
        if (words.every((word) => low.includes(word))) found.set(rows[i], around(whole, low.indexOf(words[0]), words[0].length));
      }
      if (!told(found, i)) return;
    }
  }

  return { look };
})();
