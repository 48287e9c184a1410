// @ts-check
"use strict";
/** Elements are made here and nowhere else, and text goes in as text: what a model wrote is never markup. */

/**
 * @param {string} tag `div.name.other`
 * @param {...any} inside attributes first, if any; then texts, elements, or lists of them
 * @returns {HTMLElement}
 */
function h(tag, ...inside) {
  const [name, ...classes] = tag.split(".");
  const element = document.createElement(name || "div");
  if (classes.length) element.className = classes.join(" ");
  if (inside.length && isAttributes(inside[0])) {
    for (const [key, value] of Object.entries(inside.shift())) {
      if (value === null || value === undefined || value === false) continue;
      if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
      else if (key === "style") Object.assign(element.style, value);
      else if (key === "class") element.className += ` ${value}`;
      else element.setAttribute(key, value === true ? "" : String(value));
    }
  }
  element.append(...inside.flat(3).filter((part) => part !== null && part !== undefined && part !== false));
  return element;
}

/** @param {any} value */
function isAttributes(value) {
  return value !== null && typeof value === "object" && !(value instanceof Node) && !Array.isArray(value);
}

/** @param {string} tag @param {Record<string, any>} attributes @param {...any} inside */
function svg(tag, attributes, ...inside) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
  element.append(...inside);
  return element;
}

const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]/g;

/** What a hidden character is called. @param {string} char */
function markOf(char) {
  const code = char.charCodeAt(0);
  if (code < 0x20) return String.fromCharCode(0x2400 + code);
  if (code === 0x7f) return "\u2421";
  return `U+${code.toString(16).toUpperCase().padStart(4, "0")}`;
}

/** Whether control and direction characters are shown as marks. */
const marks = { shown: true };

/** Text, with what cannot be seen made visible. @param {string} text @returns {(string | HTMLElement)[]} */
function plain(text) {
  if (text.search(HIDDEN) < 0) return [text];
  const parts = [];
  let last = 0;
  for (const found of text.matchAll(HIDDEN)) {
    if (found[0] === "\r" && text[found.index + 1] === "\n") continue;
    parts.push(text.slice(last, found.index));
    if (marks.shown) parts.push(h("span.mark", { title: "a character that cannot be seen" }, markOf(found[0])));
    last = found.index + 1;
  }
  parts.push(text.slice(last));
  return parts;
}

/** The same in one line, for titles and cells. @param {string} text */
function flat(text) {
  return text.replace(HIDDEN, (char) => (marks.shown ? markOf(char) : ""));
}

const LONG = 20_000;

/** A block of text of any length; very long ones are opened by hand. @param {string} text @param {string} [kind] */
function prose(text, kind = "") {
  const block = h("div.text", { class: kind, dir: "auto" }, plain(text.slice(0, LONG)));
  if (text.length > LONG) {
    const more = h("button.more", { onclick: () => block.replaceChildren(...plain(text)) },
      `show all ${count(text.length)} characters`);
    block.append(more);
  }
  return block;
}

/** @param {number} value */
const count = (value) => value.toLocaleString("en-US");

/** @param {number | null | undefined} value @param {number} [digits] */
function number(value, digits = 3) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 1e15) return count(value);
  if (size >= 1e6 || size < 1e-4) return value.toPrecision(3);
  return size >= 100 ? count(Math.round(value)) : String(Number(value.toFixed(digits)));
}

/** How many there are of something. @param {number} value @param {string} word */
const many = (value, word) => `${count(value)} ${word}${value === 1 ? "" : "s"}`;

/** Large counts in few letters. @param {number} value */
function brief(value) {
  for (const [size, unit] of /** @type {[number, string][]} */ ([[1e9, "G"], [1e6, "M"], [1e4, "k"]])) {
    if (Math.abs(value) >= size) {
      const scaled = value / (unit === "k" ? 1e3 : size);
      return `${scaled.toFixed(scaled < 100 ? 1 : 0)}${unit}`;
    }
  }
  return number(value, 2);
}

/** @param {number | null | undefined} seconds */
function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 0.001) return `${Math.round(seconds * 1e6)} µs`;
  if (seconds < 1) return `${Math.round(seconds * 1e3)} ms`;
  if (seconds < 100) return `${seconds.toFixed(seconds < 10 ? 2 : 1)} s`;
  if (seconds < 6000) return `${(seconds / 60).toFixed(1)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

/** @param {any} value */
const pretty = (value) => (typeof value === "string" ? value : JSON.stringify(value, null, 2));
