// The execution tree as data: nodes, how library frames are folded, which rows can be seen, search.
// Knows nothing of the page.
"use strict";

window.fmdCallTree = (() => {
  const NUMBERS_A_NODE = 6;
  // With more rows than this, only the heavy branches are open at first.
  const OPEN_ROWS = 300;
  const OPEN_SHARE = 0.03;

  class Node {
    constructor(tree, id, parent, line, figures) {
      this.tree = tree;
      this.id = id;
      this.parent = parent;
      this.line = line;
      [this.total, this.samples, this.requests, this.deviation] = figures;
      this.self = this.total;
      this.children = [];
      this.order = id;
    }

    get own() {
      return this.line === null || this.line.own;
    }
  }

  /** Neighbouring frames of one library, below a line of the host's own code. */
  class Fold {
    constructor(parent, first) {
      this.id = `f${first.id}`;
      this.parent = parent;
      this.library = first.line.library;
      this.libraries = new Set();
      this.line = first.line;
      this.order = first.id;
      this.tops = [];
      this.frames = 0;
      this.total = 0;
      this.self = 0;
      this.samples = 0;
      this.requests = 0;
      this.deviation = null;
      // The host's own lines that these frames called.
      this.below = [];
    }

    /** The libraries of its frames: "flask and jinja2". */
    get names() {
      const [first, second, third] = this.libraries;
      if (third) return `${first}, ${second} and others`;
      return second ? `${first} and ${second}` : first;
    }

    add(top) {
      this.tops.push(top);
      this.total += top.total;
      this.samples += top.samples;
      this.requests = Math.max(this.requests, top.requests);
      const waiting = [top];
      while (waiting.length) {
        const node = waiting.pop();
        this.frames += 1;
        this.libraries.add(node.line.library);
        this.self += node.self;
        for (const child of node.children) (child.own ? this.below : waiting).push(child);
      }
    }
  }

  class CallTree {
    /** `data` is what CallGraph.as_json() gives. */
    constructor(data) {
      this.name = data.name;
      this.requests = data.requests;
      this.leftOut = data.left_out;
      this.fold = true;
      this.threshold = 0;
      this.closed = new Set();
      this.revealed = new Set();
      // Light nodes that a search leads to, in spite of the threshold.
      this.wanted = new Set();
      this._folds = new Map();
      this._read(data);
      this._closeLight();
    }

    _read(data) {
      const lines = data.lines.map(([file, number, name, source, own]) => ({
        file: data.files[file][0], library: data.files[file][1], number, name, source, own: own === 1,
        text: `${source}\n${name}\n${data.files[file][0]}:${number}`.toLowerCase(),
      }));
      this.root = new Node(this, 0, null, null, [data.total_us, data.samples, data.requests, null]);
      this.nodes = [this.root];
      const path = [this.root];
      for (let at = 0; at < data.nodes.length; at += NUMBERS_A_NODE) {
        const depth = data.nodes[at];
        path.length = depth;
        const parent = path[depth - 1];
        const figures = data.nodes.slice(at + 2, at + NUMBERS_A_NODE);
        const node = new Node(this, this.nodes.length, parent, lines[data.nodes[at + 1]], figures);
        parent.children.push(node);
        parent.self -= node.total;
        path.push(node);
        this.nodes.push(node);
      }
      for (const node of this.nodes) node.self = Math.max(node.self, 0);
    }

    _closeLight() {
      if (this.nodes.length <= OPEN_ROWS) return;
      const least = OPEN_SHARE * this.root.total;
      for (const node of this.nodes) {
        if (node.children.length && node.total < least) this.closed.add(node.id);
      }
    }

    isFold(item) {
      return item instanceof Fold;
    }

    share(item, metric = "total") {
      return this.root.total ? item[metric] / this.root.total : 0;
    }

    mean(item, metric = "total") {
      return this.requests ? item[metric] / this.requests : 0;
    }

    /** What stands below an item, whether it is open or not; light items are left out. */
    below(item) {
      let found;
      if (item instanceof Fold) found = this.revealed.has(item.id) ? item.tops : item.below;
      else if (!this.fold || !item.own) found = item.children;
      else found = this._folded(item);
      if (!this.threshold) return found;
      const least = this.threshold * this.root.total;
      return found.filter((one) => one.total >= least || this.wanted.has(one.id));
    }

    _folded(node) {
      let found = this._folds.get(node.id);
      if (found) return found;
      found = [];
      const byLibrary = new Map();
      for (const child of node.children) {
        if (child.own) {
          found.push(child);
          continue;
        }
        let fold = byLibrary.get(child.line.library);
        if (!fold) {
          fold = new Fold(node, child);
          byLibrary.set(child.line.library, fold);
          found.push(fold);
        }
        fold.add(child);
      }
      this._folds.set(node.id, found);
      return found;
    }

    canOpen(item) {
      return (item instanceof Fold && !this.revealed.has(item.id)) || this.below(item).length > 0;
    }

    isOpen(item) {
      if (item instanceof Fold && !this.revealed.has(item.id) && !item.below.length) return false;
      return !this.closed.has(item.id) && this.below(item).length > 0;
    }

    /** Open an item; a fold without lines of the host's below it shows its frames. */
    open(item) {
      this.closed.delete(item.id);
      if (item instanceof Fold && !this.below(item).length) this.revealed.add(item.id);
    }

    close(item) {
      this.closed.add(item.id);
      if (item instanceof Fold && this.revealed.delete(item.id) && item.below.length) {
        this.closed.delete(item.id);
      }
    }

    /** Show the frames of a fold, or hide them again. */
    reveal(fold) {
      this.closed.delete(fold.id);
      if (!this.revealed.delete(fold.id)) this.revealed.add(fold.id);
    }

    /** The rows that can be seen: [{item, level}], the children of each sorted by `compare`. */
    rows(compare) {
      const found = [];
      const waiting = [{ item: this.root, level: 1 }];
      while (waiting.length) {
        const row = waiting.pop();
        found.push(row);
        if (!this.isOpen(row.item)) continue;
        const below = this.below(row.item);
        const ordered = compare ? [...below].sort(compare) : below;
        for (let i = ordered.length - 1; i >= 0; i -= 1) {
          waiting.push({ item: ordered[i], level: row.level + 1 });
        }
      }
      return found;
    }

    /** How many nodes the threshold hides. */
    light() {
      const least = this.threshold * this.root.total;
      return this.nodes.filter((node) => node.total < least && !this.wanted.has(node.id)).length;
    }

    /** Nodes whose text, function or place holds `text`, in the order of the tree. */
    find(text) {
      const needle = text.trim().toLowerCase();
      if (!needle) return [];
      return this.nodes.filter((node) => node.line?.text.includes(needle));
    }

    /** Make a node visible: open what is above it. */
    show(node) {
      this.wanted.clear();
      const path = [];
      for (let at = node; at; at = at.parent) path.unshift(at);
      for (const one of path) this.wanted.add(one.id);
      for (const one of path.slice(0, -1)) this.closed.delete(one.id);
      if (!this.fold) return;
      // A library's frame stands in the fold of the nearest line of the host's above it.
      for (let i = 1; i < path.length; i += 1) {
        if (path[i].own || !path[i - 1].own) continue;
        const fold = this._folded(path[i - 1]).find((one) => one.tops?.includes(path[i]));
        this.wanted.add(fold.id);
        this.closed.delete(fold.id);
        if (!path.slice(i).some((one) => one.own)) this.revealed.add(fold.id);
      }
    }
  }

  return { CallTree };
})();
