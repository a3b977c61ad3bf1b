// One code, in full.

function codeDetail(run, code) {
  const book = data.runs[run].codebook, one = book.codes[code];
  if (!one) return [el("h1", {}, `Code ${code}`), note(`This codebook has the codes 0 to ${book.size - 1}.`)];
  const text = oneLine(textOf(run, code));
  return [
    el("p", { class: "kicker" }, el("span", { class: "chip still" }, code), `code ${code} of ${book.size}`, withCodes.length > 1 ? `, ${data.runs[run].name}` : ""),
    el("h1", { class: text ? "code-title" : "" }, text || `Code ${code}`),
    factsOf(book, one), lackOf(one), standsFor(one), profileOf(one), contextsOf(one), readingOf(one), predictionOf(run, one), neighboursOf(run, one), questionsOf(run, one),
    book.missing.map((line) => note(`${line[0].toUpperCase()}${line.slice(1)}.`)),
  ];
}

function factsOf(book, one) {
  const facts = [];
  const used = timesUsed(one), all = one.count !== undefined ? book.trained_on : book.occurrences;
  if (used !== undefined) facts.push([countOf(used), one.count !== undefined ? "times in training traces" : "times in these rows", all ? `${shareText(used / all)} of all codes` : ""]);
  if (one.read) facts.push([shareText(one.read.sure), "sure when read back", one.read.share < 1 ? `as this text in ${shareText(one.read.share)} of ${one.read.times}` : `the same text ${one.read.times === 1 ? "once" : `all ${countOf(one.read.times)} times`}`]);
  if (one.guess) facts.push([shareText(one.guess.right), "predicted right", `${(100 * one.guess.low).toFixed(0)} to ${(100 * one.guess.high).toFixed(0)}\u2009%, on ${plural(one.seen, "place")}`]);
  if (one.neighbours && one.neighbours.length) facts.push([one.neighbours[0][1].toFixed(2), "cosine of the nearest code", `code ${one.neighbours[0][0]}`]);
  return facts.length ? el("dl", { class: "facts" }, facts.map(([value, name, more]) => el("div", {}, el("dd", {}, value), el("dt", {}, name, el("small", {}, more))))) : null;
}

function lackOf(one) {
  if (isDead(one)) return el("p", { class: "advice" }, "Dead: no trace has this code.");
  if (isConfused(one)) return el("p", { class: "advice" }, "Confused: the model mostly expects another code where this one stands.");
  return null;
}

function standsFor(one) {
  if (!one.texts || !one.texts.length) return null;
  return section("Stands for", "Texts of the training traces.", el("table", { class: "bars" }, el("tbody", {}, one.texts.map(([text, share]) =>
    el("tr", {}, el("td", { class: "share" }, shareText(share)), el("td", { class: "bar" }, el("i", { style: { width: `${100 * share}%` } })), el("td", { class: "words" }, oneLine(text)))))));
}

function profileOf(one) {
  if (!one.profile || !one.profile.length) return null;
  return section("Where in the trace", null, profileChart(`How often code ${one.code} stands at each place`, one.profile));
}

function contextsOf(one) {
  if (!one.contexts || !one.contexts.length) return null;
  return section("In context", null, el("ul", { class: "contexts" }, one.contexts.map(([row, before, text, after]) =>
    el("li", {}, el("p", {}, before, el("mark", {}, text), after), rowByNumber.has(row) ? el("a", { href: answerAddress(row) }, `row ${row}`) : el("small", {}, `row ${row}`)))));
}

function readingOf(one) {
  if (!one.read) return null;
  return section("Read back", null, el("p", {}, el("q", { class: "read" }, oneLine(one.read.text) || "(no text)"),
    ` in ${shareText(one.read.share)} of ${plural(one.read.times, "place")}; the decoder of stage 1 gives its tokens ${shareText(one.read.sure)} on average.`));
}

function predictionOf(run, one) {
  if (!one.guess) return null;
  const { right, low, high, share, taken } = one.guess;
  return section("How well the model predicts it", null,
    el("p", {}, `With everything right before it, it is the likeliest latent in ${shareText(right)} of ${plural(one.seen, "place")} (95\u2009% interval ${(100 * low).toFixed(0)} to ${(100 * high).toFixed(0)}\u2009%), and has a probability of ${shareText(share)} on average.`),
    taken.length ? el("p", {}, "Taken for ", taken.map(([code, times], place) => [place ? ", " : "", codeLink(run, code), ` ${plural(times, "time")}`]), ".") : null);
}

function neighboursOf(run, one) {
  if (!one.neighbours || !one.neighbours.length) return null;
  return section("Neighbours in the codebook", "By the cosine of their vectors.", el("table", { class: "bars" }, el("tbody", {}, one.neighbours.map(([code, cosine]) =>
    el("tr", {}, el("td", {}, codeLink(run, code)), el("td", { class: "share" }, cosine.toFixed(2)), el("td", { class: "bar" }, el("i", { style: { width: `${Math.max(0, 100 * cosine)}%` } })), el("td", { class: "words" }, oneLine(textOf(run, code))))))));
}

const MOST_QUESTIONS = 12;

function questionsOf(run, one) {
  const { answers, column } = answersWith(run, one.code);
  if (!column) return null;
  if (!answers.length) return section("Questions whose answers used it", null, note("None."));
  const right = answers.filter((answer) => answer.right).length;
  return section("Questions whose answers used it", `${plural(answers.length, "answer")} of ${countOf(column.answers.length)} (${column.title}); ${shareText(right / answers.length)} of them right.`,
    el("ul", { class: "questions" }, answers.slice(0, MOST_QUESTIONS).map((answer) => el("li", {}, mark(answer.right), el("a", { href: answerAddress(answer.row) }, oneLine(rowByNumber.get(answer.row).question || `row ${answer.row}`))))),
    answers.length > MOST_QUESTIONS ? el("p", {}, el("button", { type: "button", class: "more", on: { click: () => showAnswersWith(run, one.code) } }, `Show all ${countOf(answers.length)} in Answers`)) : null);
}

const mark = (right) => el("span", { class: right ? "mark right" : "mark wrong", role: "img", "aria-label": right ? "right" : "wrong" }, right ? "\u2713" : "\u2717");
