// The overview: accuracy against tokens, training, stage 1, settings, commands.

function overview() {
  const runs = data.runs.map((_, place) => place);
  return el("div", { class: "page" },
    el("h1", {}, headline()),
    el("p", { class: "lede" }, lede()),
    accuracySection(runs), trainingSection(runs), stage1Section(), settingsSection(runs), commandsSection());
}

function headline() {
  const names = data.runs.map((run) => run.name);
  return names.length > 4 ? `${names.length} runs` : names.join(names.length === 2 ? " and " : ", ");
}

function lede() {
  const rows = data.rows.length ? `${plural(data.rows.length, "question")}${data.data ? ` of ${data.data}` : ""}` : "No questions were asked";
  return `${rows}. Made by mixlm ${data.made.version} on ${data.made.date}.`;
}

const modesOf = (place) => Object.entries(data.runs[place].modes).map(([mode, figures]) => ({ run: place, name: data.runs[place].name, mode, ...figures }));

function accuracySection(runs) {
  const points = runs.flatMap(modesOf);
  if (!points.length) return section("Accuracy against tokens", null, note("No rows were given, so nothing was answered: add --data FILE, or --evaluation FILE of mixlm evaluate."));
  const shown = [...new Set(points.map((one) => one.run))], [least, most] = d3.extent(points, (one) => one.answers);
  return section("Accuracy against tokens",
    "Higher is better, further left is shorter. A large dot is free decoding, where the model decides itself how many latents it writes; the rule is its 95 % interval. " +
    `A dot is of ${least === most ? "" : `${countOf(least)} to `}${plural(most, "answer")}.`,
    legend(shown), paretoChart(points), accuracyTable(points));
}

function accuracyTable(points) {
  const rows = points.map((one, place) => {
    const first = !place || points[place - 1].run !== one.run;
    return { class: first ? "first" : "", cells: [
      first ? el("span", { class: "who" }, el("i", { style: { background: runColour(one.run) } }), one.name) : "",
      modeText(one.mode),
      percentOf(one.accuracy, 1),
      `${(100 * one.low).toFixed(1)} to ${(100 * one.high).toFixed(1)}`,
      one.tokens === null ? "" : one.tokens.toFixed(1),
      one.latents === null ? "" : one.latents.toFixed(1),
      one.cut_off ? el("b", { class: "warn" }, shareText(one.cut_off)) : "0",
    ] };
  });
  return table("figures blocks", ["run", "latents", "right", "95\u2009% interval", "tokens", "latents an answer", "cut off"], rows);
}

// A table that a narrow screen shows as a block for each row. A browser forgets that it is a table there, so it is told.
function table(kind, titles, rows) {
  return el("div", { class: "wide" }, el("table", { class: kind, role: "table" },
    el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, titles.map((title) => el("th", { scope: "col", role: "columnheader" }, title)))),
    el("tbody", { role: "rowgroup" }, rows.map(({ class: name, cells: [head, ...cells] }) => el("tr", { role: "row", class: name },
      el("th", { scope: "row", role: "rowheader" }, head),
      cells.map((cell, place) => el("td", { role: "cell", "data-title": titles[place + 1] }, cell)))))));
}

const CURVES = [
  ["loss", "Loss of the mix", "nats a token", { log: true }],
  ["text_loss", "Loss of text", "nats a token", { log: true }],
  ["latent_loss", "Loss of latents", "nats a latent", { log: true }],
  ["latent_accuracy", "Latents predicted right", "%", { times: 100, domain: [0, 100] }],
  ["eval_loss", "Loss on validation rows", "nats a token", { log: true }],
];

function trainingSection(runs) {
  const charts = CURVES.map(([name, label, unit, options]) => {
    const lines = runs.filter((run) => (data.runs[run].curve || {})[name])
      .map((run) => ({ run, values: data.runs[run].curve[name].filter(([, value]) => !options.log || value > 0) })).filter((one) => one.values.length);
    return lines.length ? el("div", {}, el("h3", {}, label), curveChart(label, unit, lines, options)) : null;
  }).filter(Boolean);
  const without = runs.filter((run) => !data.runs[run].curve).map((run) => data.runs[run].name);
  const missing = without.length ? note(`No curve is kept of ${without.join(", ")}.`) : null;
  if (!charts.length) return section("Training", null, missing);
  return section("Training", null, legend(runs.filter((run) => data.runs[run].curve)), el("div", { class: "grid" }, charts), missing);
}

function stage1Section() {
  const seen = new Map();
  data.runs.forEach((run) => {
    if (!run.codebook) return;
    const key = run.stage1 ? JSON.stringify(run.stage1) : run.stage1_missing;
    seen.set(key, [...(seen.get(key) || []), run]);
  });
  if (!seen.size) return section("Stage 1", null, note("None of these runs has codes."));
  return section("Stage 1", "How good the codebook is, before any language model has written a code.",
    [...seen.values()].map((group) => el("div", {},
      seen.size > 1 ? el("h3", {}, group.map((run) => run.name).join(", ")) : null,
      group[0].stage1 ? judgedTable(group[0]) : note(`Not known: ${group[0].stage1_missing}.`))));
}

function judgedTable(run) {
  return [el("dl", { class: "judged" }, run.stage1.map((one) => el("div", { class: one.good === false ? "poor" : one.good ? "good" : "" },
    el("dt", {}, one.name),
    el("dd", {}, el("b", {}, one.value), one.good === null ? null : el("span", { class: one.good ? "verdict right" : "verdict wrong" }, one.good ? "\u2713 good" : "\u2717 poor"),
      el("p", {}, `${one.meaning}.`), one.advice ? el("p", { class: "advice" }, `${one.advice}.`) : null)))),
  run.measured_on ? note(`Measured on ${run.measured_on === "valid" ? "validation" : "training"} traces.`) : null];
}

function settingsSection(runs) {
  const names = [...new Set(data.runs.flatMap((run) => Object.keys(run.settings)))];
  const differs = (name) => new Set(data.runs.map((run) => run.settings[name])).size > 1;
  const shared = names.filter((name) => !differs(name)), own = names.filter(differs);
  const settings = (chosen, columns) => table(columns.length > 1 ? "settings blocks" : "settings", ["setting", ...columns.map((run) => (columns.length > 1 ? data.runs[run].name : "value"))],
    chosen.map((name) => ({ class: "", cells: [name.replaceAll("_", " "), ...columns.map((run) => data.runs[run].settings[name] || "\u2013")] })));
  const methods = el("p", { class: "about" }, data.runs.map((run) => `${run.name}: method ${run.method}${run.source ? ` (${run.source})` : ""}`).join(". "), ".");
  if (runs.length === 1) return section("Settings", null, methods, el("details", {}, el("summary", {}, plural(names.length, "setting")), settings(names, runs)));
  return section("Settings", null, methods, own.length ? settings(own, runs) : note("All settings are the same."),
    shared.length ? el("details", {}, el("summary", {}, `${plural(shared.length, "setting that is", "settings that are")} the same`), settings(shared, runs.slice(0, 1))) : null);
}

function commandsSection() {
  if (!data.commands.length) return section("Commands", null, note("The runs do not tell how they were made."));
  return section("Commands", "What made these runs, in order.", el("pre", { class: "commands" }, data.commands.map((line) => el("code", {}, wordsOf(line)))));
}

// A line breaks between words: a browser would break it after the dashes of an option too.
const wordsOf = (line) => line.split(/( )/).map((word) => (/[^\n ]-|^-/.test(word) ? el("span", { class: "word" }, word) : word));
