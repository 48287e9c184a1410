// @ts-check
"use strict";
/**
 * What a page knows: the summary, the columns of all rows, and packs of whole episodes, which are loaded as scripts since a
 * page on disk may load nothing else.
 */
const R = (() => {
  const held = (/** @type {string} */ id) => document.getElementById(id)?.textContent ?? "";
  const UNKNOWN = 0xffff;
  /** @type {any} */
  let summary = null;
  /** @type {any} */
  let columns = null;
  /** @type {Map<number, Promise<any>>} */
  const packs = new Map();
  /** @type {((state: any) => void) | null} */
  let onLive = null;

  /** @typedef {HTMLScriptElement & {take: (text: string) => void}} PackScript */

  /** @param {string} text */
  async function unzip(text) {
    const raw = atob(text);
    const bytes = new Uint8Array(raw.length);
    for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).arrayBuffer();
  }

  /** @param {any} data */
  function takeColumns(data) {
    const out = /** @type {any} */ ({ rows: data.rows, words: {} });
    for (const [name, column] of Object.entries(data.words)) {
      out.words[name] = column.words;
      out[name] = column.codes;
    }
    for (const [name, column] of Object.entries(data.numbers)) {
      out[name] = Array.isArray(column) ? column : new Array(data.rows).fill(/** @type {any} */ (column).all);
    }
    return Object.assign(out, data.texts);
  }

  /** @param {string} text */
  async function loadColumns(text) {
    columns = takeColumns(JSON.parse(new TextDecoder().decode(await unzip(text))));
    return columns;
  }

  /** @param {string} text */
  async function openPack(text) {
    const buffer = await unzip(text);
    const length = new DataView(buffer).getUint32(0, true);
    const data = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
    const total = (buffer.byteLength - 4 - length) / 6;
    data.ids = new Uint32Array(buffer, 4 + length, total);
    data.logprobs = new Uint16Array(buffer, 4 + length + 4 * total, total);
    for (const row of data.rows) row.pack = data;
    return data;
  }

  /** @param {number} number */
  function pack(number) {
    const known = packs.get(number);
    if (known) return known;
    const inside = held(`pack-${number}`);
    const promise = inside ? openPack(inside) : loadPack(number);
    packs.set(number, promise);
    return promise;
  }

  /** @param {number} number */
  async function loadPack(number) {
    if (summary.place === null) throw new Error("this page has no such episode");
    const script = /** @type {PackScript} */ (document.createElement("script"));
    script.src = `${summary.place}${number}.js${summary.live ? `?${summary.live}` : ""}`;
    const text = await new Promise((resolve, reject) => {
      script.take = resolve; // of its own, since a page that grows may ask anew for what is on its way
      script.onerror = () => {
        packs.delete(number);
        reject(new Error(`${script.src} is not there; the folder beside the page goes with it`));
      };
      document.head.append(script);
    });
    script.remove();
    return openPack(text);
  }

  /** A row, whole. @param {number} number */
  async function episode(number) {
    const found = await pack(Math.floor(number / summary.pack));
    return found.rows[number % summary.pack];
  }

  /** The rows of a pack, which is not kept. @param {number} number */
  async function rows(number) {
    const kept = packs.has(number);
    const found = await pack(number);
    if (!kept) packs.delete(number);
    return found.rows;
  }

  return {
    start() {
      summary = JSON.parse(held("summary"));
      return summary;
    },
    index: () => loadColumns(held("index")),
    episode,
    rows,
    get summary() { return summary; },
    get columns() { return columns; },
    /** The log-probability of a token; null where there is none. @param {any} pack @param {number} at */
    logprob: (pack, at) => (pack.logprobs[at] === UNKNOWN ? null : -pack.logprobs[at] / 1000),
    /** Called by the scripts of packs. @param {number} number @param {string} text */
    pack: (number, text) => /** @type {PackScript} */ (document.currentScript).take(text),
    /** Ask a server for what is new, every two seconds. @param {(state: any) => void} listener */
    watch(listener) {
      onLive = listener;
      const ask = () => {
        const script = document.createElement("script");
        script.src = `live.js?have=${encodeURIComponent(summary.live)}`;
        script.onload = script.onerror = () => {
          script.remove();
          setTimeout(ask, 2000);
        };
        document.head.append(script);
      };
      setTimeout(ask, 2000);
    },
    /** Called by a server's script. @param {any} found @param {string} index */
    async live(found, index) {
      await loadColumns(index);
      summary = found;
      packs.clear();
      onLive?.(summary);
    },
  };
})();
