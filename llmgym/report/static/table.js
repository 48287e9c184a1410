// @ts-check
"use strict";
/**
 * A table of any number of rows, of which only those in sight are in the page. Rows have one height, so that where a row
 * stands is a product.
 */
class Table {
  /**
   * @param {{name: string, label: string, track: string, phone?: boolean, num?: boolean, left?: boolean,
   *   value: (row: number) => any, cell: (row: number) => any}[]} columns
   * @param {{open: (row: number) => void, sort?: string, down?: boolean, sorted?: (name: string, down: boolean) => void}} about
   */
  constructor(columns, about) {
    this.columns = columns;
    this.about = about;
    this.sort = about.sort ?? "";
    this.down = about.down ?? false;
    /** @type {number[]} */
    this.rows = [];
    this.at = -1;
    this.head = h("div.thead", { role: "row" });
    this.body = h("div.tbody");
    this.space = h("div.tspace", this.body);
    this.scroller = h("div.tscroll", { tabindex: "0", onscroll: () => this.paint() }, this.space);
    this.none = h("p.empty", "no rows");
    this.element = h("div.table", { role: "table" }, this.head, this.scroller, this.none);
    this.element.addEventListener("click", (event) => {
      const row = /** @type {HTMLElement} */ (event.target).closest?.(".tr");
      if (row instanceof HTMLElement) this.about.open(Number(row.dataset.row));
    });
    new ResizeObserver(() => this.layout()).observe(this.element);
  }

  get height() {
    return this.narrow ? 62 : 37;
  }

  layout() {
    this.narrow = this.element.clientWidth < 640;
    this.shown = this.columns.filter((column) => !this.narrow || column.phone);
    this.tracks = this.shown.map((column) => column.track).join(" ");
    this.element.classList.toggle("narrow", this.narrow);
    this.head.style.gridTemplateColumns = this.tracks;
    this.head.replaceChildren(...this.shown.map((column) => h("button.th", {
      class: `${column.num ? "num" : ""} ${column.left ? "left" : ""} ${this.sort === column.name ? "on" : ""}`, role: "columnheader",
      "aria-sort": this.sort === column.name ? (this.down ? "descending" : "ascending") : "none",
      onclick: () => this.order(column.name, this.sort === column.name ? !this.down : Boolean(column.num)),
    }, column.label, h("span.arrow", this.sort === column.name ? (this.down ? "↓" : "↑") : ""))));
    this.paint();
  }

  /** @param {string} name @param {boolean} down */
  order(name, down) {
    this.sort = name;
    this.down = down;
    this.arrange();
    this.scroller.scrollTop = 0;
    this.layout();
    this.about.sorted?.(name, down);
  }

  arrange() {
    const column = this.columns.find((one) => one.name === this.sort);
    if (!column) return;
    const keys = new Map();
    for (const row of this.rows) keys.set(row, column.value(row));
    const sign = this.down ? -1 : 1;
    this.rows.sort((a, b) => {
      const x = keys.get(a), y = keys.get(b);
      if (x === y) return a - b;
      if (x === null || x === undefined) return 1;
      if (y === null || y === undefined) return -1;
      return x < y ? -sign : sign;
    });
  }

  /** @param {number[]} rows @param {number} [chosen] */
  show(rows, chosen = -1) {
    this.rows = rows;
    this.at = chosen;
    this.arrange();
    if (chosen >= 0) this.at = this.rows.indexOf(chosen);
    this.layout();
    if (this.at >= 0) this.reveal();
  }

  paint() {
    if (!this.shown) return;
    const total = this.rows.length * this.height;
    this.none.hidden = this.rows.length > 0;
    const high = Math.min(total, 12_000_000); // browsers have a greatest height
    this.space.style.height = `${high}px`;
    const view = this.scroller.clientHeight || 600;
    const room = Math.max(1, high - view);
    const top = total > high ? (this.scroller.scrollTop / room) * (total - view) : this.scroller.scrollTop;
    const first = Math.max(0, Math.floor(top / this.height) - 4);
    const last = Math.min(this.rows.length, Math.ceil((top + view) / this.height) + 4);
    this.body.style.transform = `translateY(${this.scroller.scrollTop - top + first * this.height}px)`;
    const made = [];
    for (let i = first; i < last; i++) {
      const row = this.rows[i];
      const line = h("div.tr", { role: "row", "data-row": row, class: i === this.at ? "chosen" : "" },
        this.shown.map((column) => h("div.td", { class: `${column.num ? "num" : ""} ${column.left ? "left" : ""}` }, column.cell(row))));
      line.style.gridTemplateColumns = this.tracks ?? "";
      line.style.height = `${this.height}px`;
      made.push(line);
    }
    this.body.replaceChildren(...made);
  }

  /** @param {number} step */
  move(step) {
    if (!this.rows.length) return;
    this.at = Math.min(this.rows.length - 1, Math.max(0, this.at + step));
    this.reveal();
  }

  reveal() {
    const top = this.at * this.height;
    const view = this.scroller.clientHeight;
    if (top < this.scroller.scrollTop) this.scroller.scrollTop = top - this.height;
    else if (top + this.height > this.scroller.scrollTop + view) this.scroller.scrollTop = top + 2 * this.height - view;
    this.paint();
  }

  enter() {
    if (this.at >= 0) this.about.open(this.rows[this.at]);
  }
}
