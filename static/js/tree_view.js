// The execution tree as a table: only the rows in sight are in the document, so that its size does
// not matter. Arrow keys move and open, Home and End jump, Enter opens and closes.
"use strict";

window.fmdTreeView = (() => {
  const { number, ms } = window.fmdCharts;
  const SPARE_ROWS = 12;
  const DEEPEST = 24;

  function element(name, className, text) {
    const made = document.createElement(name);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  }

  function percent(share) {
    const value = 100 * share;
    if (value === 0) return "0 %";
    if (value < 0.05) return "< 0.1 %";
    return `${value < 9.95 ? value.toFixed(1) : Math.round(value)} %`;
  }

  /** What an item is called, and where it is. */
  function words(tree, item) {
    if (item.line === null) {
      return { code: tree.name, where: item.requests === 1 ? "request" : `${number.format(item.requests)} requests` };
    }
    if (tree.isFold(item)) {
      const shown = tree.revealed.has(item.id);
      const frames = item.frames === 1 ? "1 frame" : `${number.format(item.frames)} frames`;
      return { code: `${frames} of ${item.names}${shown ? "" : " hidden"}`, where: "" };
    }
    const { source, name, file, number: line } = item.line;
    return { code: source || name, where: `${name} · ${file}:${line}` };
  }

  class TreeView {
    /** `root` is the element with data-tree; `listener` hears of {select, hover, change}. */
    constructor(root, tree, listener = {}) {
      this.tree = tree;
      this.grouped = root.dataset.tree === "grouped";
      this.metric = "total";
      this.sort = { key: "order", descending: false };
      this.listener = listener;
      this.root = root;
      this.scroll = root.querySelector(".tree-scroll");
      this.table = root.querySelector("table");
      this.body = root.querySelector("tbody");
      this.status = root.querySelector("[data-tree-status]");
      this.line = root.querySelector("[data-tree-line]");
      this.found = new Set();
      this.selected = tree.root.id;
      this.table.setAttribute("role", "treegrid");
      this.table.tabIndex = 0;
      this.table.dataset.live = "on";
      this._sortHeads();
      this._listen();
    }

    // What is shown

    update() {
      this.rows = this.tree.rows(this._compare());
      this.table.setAttribute("aria-rowcount", String(this.rows.length + 1));
      if (!this.rows.some(({ item }) => item.id === this.selected)) this.selected = this.tree.root.id;
      this._tellStatus();
      this._draw(true);
      this.listener.change?.();
    }

    _compare() {
      const { key, descending } = this.sort;
      if (key === "order") return null;
      const values = {
        requests: (item) => item.requests,
        mean: (item) => item[this.metric],
        deviation: (item) => item.deviation ?? 0,
        time: (item) => item[this.metric],
      };
      const value = values[key];
      const sign = descending ? -1 : 1;
      return (a, b) => sign * (value(a) - value(b)) || a.order - b.order;
    }

    _tellStatus() {
      const light = this.tree.light();
      const all = this.tree.nodes.length - 1;
      const parts = [`${number.format(all)} ${all === 1 ? "line" : "lines"}`];
      if (light) parts.push(`${number.format(light)} below ${100 * this.tree.threshold} % hidden`);
      if (this.tree.leftOut) {
        parts.push(`${number.format(this.tree.leftOut)} lighter ones in the downloads only`);
      }
      this.status.textContent = parts.join(", ");
    }

    _height() {
      const [first] = this.body.querySelectorAll("tr[aria-level]");
      this.rowHeight = first?.getBoundingClientRect().height || this.rowHeight || 30;
      return this.rowHeight;
    }

    _draw(anew) {
      const height = this._height();
      const first = Math.max(Math.floor(this.scroll.scrollTop / height) - SPARE_ROWS, 0);
      const count = Math.ceil(this.scroll.clientHeight / height) + 2 * SPARE_ROWS;
      const last = Math.min(first + count, this.rows.length);
      if (!anew && first === this._first && last === this._last) return;
      [this._first, this._last] = [first, last];
      const drawn = document.createDocumentFragment();
      drawn.append(this._space(first * height));
      for (let i = first; i < last; i += 1) drawn.append(this._row(this.rows[i], i));
      drawn.append(this._space((this.rows.length - last) * height));
      this.body.replaceChildren(drawn);
      this._point();
      // The height of real rows is known now; the one that was guessed is wrong at most once.
      if (Math.abs(this._height() - height) > 0.5) this._draw(true);
    }

    _space(height) {
      const row = element("tr", "tree-space");
      row.setAttribute("aria-hidden", "true");
      row.append(element("td"));
      row.firstChild.colSpan = this.table.tHead.rows[0].cells.length;
      row.firstChild.style.height = `${height}px`;
      row.hidden = height === 0;
      return row;
    }

    _row({ item, level }, index) {
      const { tree } = this;
      const row = element("tr", tree.isFold(item) ? "fold-row" : item.own ? "own" : "lib");
      row.id = `tree-row-${item.id}`;
      row.setAttribute("aria-level", String(level));
      row.setAttribute("aria-rowindex", String(index + 2));
      if (tree.canOpen(item)) row.setAttribute("aria-expanded", String(tree.isOpen(item)));
      if (this.found.has(item.id)) row.classList.add("found");
      row.append(this._code(item, level));
      const share = tree.share(item, this.metric);
      if (this.grouped) {
        row.append(element("td", "num wide-only", number.format(item.requests)));
        row.append(element("td", "num", ms(tree.mean(item, this.metric) / 1000)));
        const known = item.deviation !== null && this.metric === "total";
        row.append(element("td", "num wide-only", known ? ms(item.deviation / 1000) : "–"));
      }
      row.append(element("td", this.grouped ? "num wide-only" : "num", ms(item[this.metric] / 1000)));
      row.append(element("td", "num", percent(share)));
      const bar = element("td", "wide-only");
      bar.append(element("span", "tree-bar"));
      bar.firstChild.append(element("span"));
      bar.firstChild.firstChild.style.width = `${Math.min(100 * share, 100)}%`;
      row.append(bar);
      for (const cell of row.cells) cell.setAttribute("role", "gridcell");
      return row;
    }

    _code(item, level) {
      const cell = element("td", "tree-code");
      cell.style.setProperty("--level", Math.min(level - 1, DEEPEST));
      const twist = element("span", "twist", this.tree.canOpen(item) ? (this.tree.isOpen(item) ? "▾" : "▸") : "·");
      twist.setAttribute("aria-hidden", "true");
      const { code, where } = words(this.tree, item);
      cell.append(twist, element("code", "", code));
      if (where) cell.append(" ", element("span", "muted", where));
      cell.title = where ? `${code}\n${where}` : code;
      if (this.tree.isFold(item) && item.below.length) {
        const label = this.tree.revealed.has(item.id) ? "hide" : "show";
        const button = element("button", "fold-show", label);
        button.type = "button";
        button.tabIndex = -1;
        cell.append(" ", button);
      }
      return cell;
    }

    // The selected row

    _point() {
      this.table.setAttribute("aria-activedescendant", `tree-row-${this.selected}`);
      for (const row of this.body.querySelectorAll("[aria-selected]")) row.removeAttribute("aria-selected");
      document.getElementById(`tree-row-${this.selected}`)?.setAttribute("aria-selected", "true");
      this._tellLine();
    }

    /** The selected line in full: in its row there may be no room for it. */
    _tellLine() {
      const { item } = this.rows[this._index()];
      const { code, where } = words(this.tree, item);
      const figures = [
        where,
        `total ${ms(item.total / 1000)}`,
        `self ${ms(item.self / 1000)}`,
        // Of what was imported they are not known.
        item.samples ? `${number.format(item.samples)} ${item.samples === 1 ? "sample" : "samples"}` : "",
      ];
      this.line.replaceChildren(
        element("code", "", code), " ", element("span", "muted", figures.filter(Boolean).join(" · ")),
      );
    }

    _index() {
      return this.rows.findIndex(({ item }) => item.id === this.selected);
    }

    select(item, { quiet = false } = {}) {
      this.selected = item.id;
      this._intoSight();
      this._point();
      if (quiet) return;
      // Where the table reaches below the window, the page has to move as well.
      document.getElementById(`tree-row-${item.id}`)?.scrollIntoView({ block: "nearest" });
      this.listener.select?.(item);
    }

    _intoSight() {
      const head = this.table.tHead.getBoundingClientRect().height;
      const top = this._index() * this._height();
      const { scrollTop, clientHeight } = this.scroll;
      if (top < scrollTop) this.scroll.scrollTop = top;
      else if (top + head + this.rowHeight > scrollTop + clientHeight) {
        this.scroll.scrollTop = top + head + this.rowHeight - clientHeight;
      }
      this._draw(false);
    }

    /** Select a node wherever it is, and open what is above it. */
    show(item, options) {
      if (this.tree.isFold(item)) {
        this.tree.show(item.parent);
        this.tree.closed.delete(item.parent.id);
        this.tree.wanted.add(item.id);
      } else this.tree.show(item);
      this.selected = item.id;
      this.update();
      this.select(item, options);
    }

    // What the reader does

    toggle(item) {
      if (!this.tree.canOpen(item)) return;
      if (this.tree.isOpen(item)) this.tree.close(item);
      else this.tree.open(item);
      this.update();
    }

    _listen() {
      let waiting = 0;
      const later = () => {
        waiting ||= requestAnimationFrame(() => {
          waiting = 0;
          this._draw(false);
        });
      };
      this.scroll.addEventListener("scroll", later, { passive: true });
      new ResizeObserver(() => this._draw(true)).observe(this.scroll);
      this.body.addEventListener("click", (event) => this._clicked(event));
      this.body.addEventListener("dblclick", (event) => {
        const item = this._itemOf(event);
        if (item && !event.target.closest(".twist, .fold-show")) this.toggle(item);
      });
      this.body.addEventListener("mouseover", (event) => this.listener.hover?.(this._itemOf(event)));
      this.body.addEventListener("mouseleave", () => this.listener.hover?.(null));
      this.table.addEventListener("keydown", (event) => this._pressed(event));
    }

    _itemOf(event) {
      const row = event.target.closest("tr[aria-level]");
      return row ? this.rows[Number(row.getAttribute("aria-rowindex")) - 2].item : null;
    }

    _clicked(event) {
      const item = this._itemOf(event);
      if (!item) return;
      this.select(item);
      if (event.target.closest(".fold-show")) {
        this.tree.reveal(item);
        this.update();
      } else if (event.target.closest(".twist")) this.toggle(item);
    }

    _pressed(event) {
      if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("th")) return;
      const index = this._index();
      const { item, level } = this.rows[index];
      const page = Math.max(Math.floor(this.scroll.clientHeight / this.rowHeight) - 2, 1);
      const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
      if (event.key in steps) {
        const next = Math.min(Math.max(index + steps[event.key], 0), this.rows.length - 1);
        this.select(this.rows[next].item);
      } else if (event.key === "ArrowRight") {
        if (!this.tree.isOpen(item)) {
          if (this.tree.canOpen(item)) this.toggle(item);
        } else this.select(this.rows[index + 1].item);
      } else if (event.key === "ArrowLeft") {
        if (this.tree.isOpen(item)) this.toggle(item);
        else {
          const above = this.rows.slice(0, index).findLast((row) => row.level < level);
          if (above) this.select(above.item);
        }
      } else if (event.key === "Enter" || event.key === " ") {
        if (this.tree.isFold(item)) {
          this.tree.reveal(item);
          this.update();
        } else this.toggle(item);
      } else return;
      event.preventDefault();
    }

    _sortHeads() {
      if (!this.grouped) return;
      const heads = [...this.table.tHead.querySelectorAll("[data-sort]")];
      for (const head of heads) {
        const button = element("button", "tree-sort");
        button.type = "button";
        button.append(...head.childNodes, " ", element("span", "sort-mark"));
        head.append(button);
        button.addEventListener("click", () => {
          const key = head.dataset.sort;
          const again = this.sort.key === key;
          this.sort = { key, descending: key !== "order" && (!again || !this.sort.descending) };
          for (const other of heads) this._markSort(other);
          this.update();
        });
      }
    }

    _markSort(head) {
      const { key, descending } = this.sort;
      const chosen = head.dataset.sort === key && key !== "order";
      if (chosen) head.setAttribute("aria-sort", descending ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
      head.querySelector(".sort-mark").textContent = chosen ? (descending ? "▾" : "▴") : "";
    }
  }

  return { TreeView, words, percent };
})();
