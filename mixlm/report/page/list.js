// A list of which only those lines exist that are seen; all are equally high.

class VirtualList {
  constructor({ label, height, draw, onChoose, onOpen, empty }) {
    Object.assign(this, { height, draw, onChoose, onOpen, empty, items: [], chosen: -1, drawn: new Map() });
    this.id = `list-${VirtualList.count = (VirtualList.count || 0) + 1}`;
    this.inner = el("div", { class: "lines", role: "presentation" });
    this.node = el("div", { class: "list", role: "listbox", tabindex: "0", "aria-label": label,
      on: { scroll: () => this.refresh(), keydown: (event) => this.onKey(event), click: (event) => this.onClick(event) } }, this.inner);
    this.none = el("p", { class: "note empty", hidden: true }, empty);
    this.whole = el("div", { class: "list-frame" }, this.node, this.none);
    new ResizeObserver(() => this.refresh()).observe(this.node);
  }

  show(items, keyOf, chosenKey) {
    this.items = items;
    this.keyOf = keyOf;
    this.drawn.forEach((line) => line.remove());
    this.drawn.clear();
    this.inner.style.height = `${items.length * this.height}px`;
    this.none.hidden = items.length > 0;
    this.node.hidden = items.length === 0;
    this.chosen = items.findIndex((item) => keyOf(item) === chosenKey);
    if (this.chosen < 0) this.node.scrollTop = 0;
    else this.reveal();
    this.refresh();
  }

  refresh() {
    const room = this.node.clientHeight, first = Math.max(0, Math.floor(this.node.scrollTop / this.height) - 4);
    const last = Math.min(this.items.length, Math.ceil((this.node.scrollTop + room) / this.height) + 4);
    for (const [place, line] of this.drawn) {
      if (place < first || place >= last) { line.remove(); this.drawn.delete(place); }
    }
    for (let place = first; place < last; place++) {
      if (!this.drawn.has(place)) { const line = this.line(place); this.drawn.set(place, line); this.inner.append(line); }
    }
    this.mark();
  }

  line(place) {
    return el("div", { class: "line", role: "option", id: `${this.id}-${place}`, "data-place": place, "aria-posinset": place + 1,
      "aria-setsize": this.items.length, style: { transform: `translateY(${place * this.height}px)`, height: `${this.height}px` } },
    this.draw(this.items[place]));
  }

  mark() {
    this.drawn.forEach((line, place) => line.setAttribute("aria-selected", String(place === this.chosen)));
    if (this.drawn.has(this.chosen)) this.node.setAttribute("aria-activedescendant", `${this.id}-${this.chosen}`);
    else this.node.removeAttribute("aria-activedescendant");
  }

  reveal() {
    const top = this.chosen * this.height, room = this.node.clientHeight;
    if (top < this.node.scrollTop) this.node.scrollTop = top;
    else if (room && top + this.height > this.node.scrollTop + room) this.node.scrollTop = top + this.height - room;
  }

  choose(place) {
    if (!this.items.length) return;
    this.chosen = Math.max(0, Math.min(place, this.items.length - 1));
    this.reveal();
    this.refresh();
    this.onChoose(this.items[this.chosen]);
  }

  chooseKey(key) {
    this.chosen = this.items.findIndex((item) => this.keyOf(item) === key);
    if (this.chosen >= 0) this.reveal();
    this.refresh();
  }

  onKey(event) {
    const page = Math.max(1, Math.floor(this.node.clientHeight / this.height) - 1);
    const to = { ArrowDown: this.chosen + 1, ArrowUp: this.chosen - 1, PageDown: this.chosen + page, PageUp: this.chosen - page,
      Home: 0, End: this.items.length - 1 }[event.key];
    if (to !== undefined) { event.preventDefault(); this.choose(to); }
    else if (event.key === "Enter" && this.chosen >= 0) { event.preventDefault(); this.onOpen(this.items[this.chosen]); }
  }

  onClick(event) {
    const line = event.target.closest(".line");
    if (line) { this.choose(Number(line.dataset.place)); this.onOpen(this.items[this.chosen], true); }
  }
}

// A list beside what is chosen in it; on a narrow screen one at a time.
function twoPanes(list, tools, back) {
  const detail = el("article", { class: "detail", tabindex: "-1" });
  const left = el("div", { class: "pane" }, tools, list.whole);
  const node = el("div", { class: "panes" }, left, el("div", { class: "reading" }, el("a", { class: "back", href: back[0] }, `\u2190 ${back[1]}`), detail));
  return { node, detail };
}
