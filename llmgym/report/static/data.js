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
  /** @type {Map<number, {promise: Promise<any>, take: (text: string) => void}>} */
  const packs = new Map();
  /** @type {((state: any) => void) | null} */
  let onLive = null;

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
    if (known) return known.promise;
    /** @type {(text: string) => void} */
    let take = () => {};
    /** @type {(reason: Error) => void} */
    let refuse = () => {};
    const promise = new Promise((resolve, reject) => {
      take = (text) => openPack(text).then(resolve, reject);
      refuse = reject;
    });
    packs.set(number, { promise, take });
    const inside = held(`pack-${number}`);
    if (inside) take(inside);
    else if (summary.place === null) refuse(new Error("this page has no such episode"));
    else {
      const script = document.createElement("script");
      script.src = `${summary.place}${number}.js${summary.live ? `?${summary.live}` : ""}`;
      script.onerror = () => {
        packs.delete(number);
        refuse(new Error(`${script.src} is not there; the folder beside the page goes with it`));
      };
      script.onload = () => script.remove();
      document.head.append(script);
    }
    return promise;
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
    pack: (number, text) => packs.get(number)?.take(text),
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
      summary = found;
      await loadColumns(index);
      packs.clear();
      onLive?.(summary);
    },
  };
})();
