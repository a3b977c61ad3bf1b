// Answers: a list of questions to search and filter, beside two answers to the one that is chosen.

const RESULTS = {
  all: ["all answers", () => true],
  wrong: ["first wrong", (one) => one && !one.right],
  right: ["first right", (one) => one && one.right],
  lost: ["first wrong, second right", (one, other) => one && other && !one.right && other.right],
  won: ["first right, second wrong", (one, other) => one && other && one.right && !other.right],
  cut: ["first cut off", (one) => one && !one.finished],
};

const answersState = { first: 0, second: 0, result: "all", words: "", withCode: null, row: null };
let answersView = null;

// Side by side at first: free decoding of a run that writes latents, and the same run as text.
function firstColumns() {
  const free = data.columns.find((one) => one.mode === "free" && data.runs[one.run].codes) || data.columns[0];
  const text = (one) => one.run === free.run && (one.mode === "text" || one.mode === "exact:0%" || one.mode === "exact:0");
  const second = data.columns.find(text) || data.columns.find((one) => one !== free && one.mode === "free") || free;
  return [free.place, second.place];
}

function answersPage(row) {
  if (!data.columns.length) return el("div", { class: "page" }, el("h1", {}, "Answers"), note("No rows were given, so there are no answers: add --data FILE, or --evaluation FILE of mixlm evaluate."));
  if (!answersView) {
    [answersState.first, answersState.second] = firstColumns();
    answersView = makeAnswers();
  }
  answersView.fill(row);
  return answersView.node;
}

function makeAnswers() {
  const list = new VirtualList({
    label: "Questions", height: 60, empty: "No answer is like that.", draw: answerLine,
    onChoose: (row) => { keepAddress(answerAddress(row.row)); view.detail(row.row); },
    onOpen: (row, byPointer) => openDetail(answerAddress(row.row), byPointer),
  });
  const tools = el("div", { class: "tools" }), panes = twoPanes(list, tools, ["#answers", "All questions"]);
  const count = el("p", { class: "count", role: "status" });
  const view = {
    node: panes.node,
    detail: (row) => { answersState.row = row; replaceContent(panes.detail, answerDetail(row)); panes.node.querySelector(".reading").scrollTop = 0; },
    fill: (row) => {
      const rows = chosenRows(), shown = row === null || row === undefined ? (rows[0] || data.rows[0]).row : row;
      list.show(rows, (one) => one.row, shown);
      replaceContent(count, `${countOf(rows.length)} of ${plural(data.rows.length, "question")}`);
      view.detail(shown);
    },
    tools: () => replaceContent(tools, answerTools(() => view.fill(answersState.row)), count),
  };
  view.tools();
  return view;
}

function answerTools(update) {
  const columns = data.columns.map((one) => [String(one.place), one.title]);
  const set = (name) => (value) => { answersState[name] = name === "first" || name === "second" ? Number(value) : value; update(); };
  const code = answersState.withCode;
  return [
    searchField("Search questions and answers", answersState.words, set("words")),
    columns.length > 1 ? [select("first", columns, String(answersState.first), set("first")), select("second", columns, String(answersState.second), set("second"))] : null,
    select("show", Object.entries(RESULTS).map(([key, [text]]) => [key, text]), answersState.result, set("result")),
    code ? el("button", { type: "button", class: "filter", on: { click: () => { answersState.withCode = null; answersView.tools(); update(); } } }, `uses code ${code.code} of ${data.runs[code.run].name} \u2715`) : null,
  ];
}

function showAnswersWith(run, code) {
  const { column, answers } = answersWith(run, code);
  answersPage(answers[0].row);
  Object.assign(answersState, { withCode: { run, code }, first: column.place, words: "", result: "all" });
  answersView.tools();
  location.hash = answerAddress(answers[0].row);
}

const answerOf = (place, row) => (data.columns[place].byRow.get(row) || [])[0];

function chosenRows() {
  const { first, second, result, words, withCode } = answersState, asked = words.trim().toLowerCase(), fits = RESULTS[result][1];
  const using = withCode && new Set(answersWith(withCode.run, withCode.code).answers.map((one) => one.row));
  return data.rows.filter((row) => fits(answerOf(first, row.row), answerOf(second, row.row))
    && (!using || using.has(row.row)) && (!asked || rowWords(row).includes(asked)));
}

const wordsOfRow = new Map();
function rowWords(row) {
  if (!wordsOfRow.has(row)) {
    const texts = data.columns.map((column) => (column.byRow.get(row.row) || []).map((one) => one.text).join(" "));
    wordsOfRow.set(row, `${row.question || ""} ${row.gold} ${texts.join(" ")}`.toLowerCase());
  }
  return wordsOfRow.get(row);
}

function answerLine(row) {
  const { first, second } = answersState, shown = first === second ? [first] : [first, second];
  return [
    el("span", { class: "marks" }, shown.map((place) => { const one = answerOf(place, row.row); return one ? mark(one.right) : el("span", { class: "mark" }, "\u2013"); })),
    el("span", { class: "line-text two" }, oneLine(row.question || `row ${row.row}`)),
  ];
}

function answerDetail(number) {
  const row = rowByNumber.get(number);
  if (!row) return [el("h1", {}, `Row ${number}`), note("This row was not asked.")];
  const { first, second } = answersState, places = first === second ? [first] : [first, second];
  const cards = places.flatMap((place) => {
    const own = data.columns[place].byRow.get(number) || [undefined];
    return own.map((answer) => answerCard(data.columns[place], answer));
  });
  return [
    el("p", { class: "kicker" }, `row ${number}`),
    el("h1", { class: "question" }, row.question || `Row ${number}`),
    el("p", { class: "gold" }, el("span", {}, "right answer "), el("b", {}, row.gold)),
    el("div", { class: "cards" }, cards),
    section("The trace as text", null, row.steps === null ? note("Not known: add --data FILE with the rows.") : row.steps.length ? el("ol", { class: "steps" }, row.steps.map((step) => el("li", {}, step))) : note("This row has no trace.")),
  ];
}
