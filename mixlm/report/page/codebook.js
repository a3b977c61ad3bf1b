// The codebook: a list of codes to sort, search and filter, beside the one that is chosen.

const SORTS = {
  frequency: ["most used first", (one) => -(timesUsed(one) || 0)],
  number: ["by number", (one) => one.code],
  worst: ["worst predicted first", (one) => (one.guess ? one.guess.right : 2)],
  best: ["best predicted first", (one) => (one.guess ? -one.guess.right : 2)],
  unsure: ["least sure read-back first", (one) => (one.read ? one.read.sure : 2)],
};

const codebookState = { run: withCodes[0], sort: "frequency", kind: "all", words: "", code: null };
let codebookView = null;

function codebookPage(run, code) {
  if (run === undefined) return el("div", { class: "page" }, el("h1", {}, "Codebook"), note("None of these runs has codes: their method reasons in text or in continuous thoughts."));
  const changed = !codebookView || codebookState.run !== run;
  codebookState.run = run;
  if (changed) codebookView = makeCodebook();
  codebookView.fill(code);
  return codebookView.node;
}

function makeCodebook() {
  const run = codebookState.run, book = data.runs[run].codebook;
  const most = Math.max(1, ...book.codes.map((one) => timesUsed(one) || 0));
  const list = new VirtualList({
    label: "Codes", height: 52, empty: "No code is like that.", draw: (one) => codeLine(run, one, most),
    onChoose: (one) => { keepAddress(addressOf(run, one.code)); view.detail(one.code); },
    onOpen: (one, byPointer) => openDetail(addressOf(run, one.code), byPointer),
  });
  const dead = book.codes.filter(isDead).length, confused = book.codes.filter(isConfused).length;
  const update = () => view.fill(codebookState.code);
  const tools = el("div", { class: "tools" },
    withCodes.length > 1 ? select("run", withCodes.map((one) => [String(one), data.runs[one].name]), String(run), (one) => { location.hash = addressOf(Number(one), 0); }) : null,
    searchField("Search codes and their texts", codebookState.words, (words) => { codebookState.words = words; update(); }),
    select("sort", Object.entries(SORTS).map(([key, [text]]) => [key, text]), codebookState.sort, (key) => { codebookState.sort = key; update(); }),
    choices("Which codes", [["all", `all ${book.size}`], [DEAD, `dead ${dead}`, "stand for nothing"],
      [CONFUSED, `confused ${confused}`, "mostly mistaken for another code"]], codebookState.kind, (kind) => { codebookState.kind = kind; update(); }));
  const panes = twoPanes(list, tools, ["#codebook", "All codes"]);
  const view = {
    node: panes.node,
    detail: (code) => { codebookState.code = code; replaceContent(panes.detail, codeDetail(run, code)); panes.node.querySelector(".reading").scrollTop = 0; },
    fill: (code) => {
      const items = chosenCodes(run, book), shown = code === null || code === undefined ? (items[0] || book.codes[0]).code : code;
      list.show(items, (one) => one.code, shown);
      view.detail(shown);
    },
  };
  return view;
}

function chosenCodes(run, book) {
  const { sort, kind, words } = codebookState, asked = words.trim().toLowerCase();
  const key = SORTS[sort][1];
  return book.codes
    .filter((one) => kind === "all" || (kind === DEAD ? isDead(one) : isConfused(one)))
    .filter((one) => !asked || codeWords(one).includes(asked))
    .sort((a, b) => key(a) - key(b) || a.code - b.code);
}

const wordsOfCode = new Map();
function codeWords(one) {
  if (!wordsOfCode.has(one)) {
    const texts = [...(one.texts || []).map(([text]) => text), one.read ? one.read.text : "", ...(one.contexts || []).map(([, , text]) => text)];
    wordsOfCode.set(one, `#${one.code} code ${one.code} ${texts.join(" ")}`.toLowerCase());
  }
  return wordsOfCode.get(one);
}

function codeLine(run, one, most) {
  const used = timesUsed(one), text = oneLine(textOf(run, one.code));
  return [
    el("span", { class: "chip still" }, one.code),
    el("span", { class: "line-text" }, text || (data.runs[run].codebook.meaning ? "never used" : "\u2013")),
    el("span", { class: "line-figure", title: "predicted right" }, one.guess ? shareText(one.guess.right) : ""),
    el("span", { class: "line-bar", title: used === undefined ? "" : `${countOf(used)} times` }, el("i", { style: { width: `${(100 * (used || 0)) / most}%` } })),
  ];
}
