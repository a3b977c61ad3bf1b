// Latents of an answer as chips: what each is read back as, and what might have stood in its place.

function codeLink(run, code, text) {
  return el("a", { class: "chip", href: addressOf(run, code) }, text === undefined ? code : text);
}

function chipsOf(run, chips) {
  if (!chips) return null;
  return el("div", { class: "chips", role: "group", "aria-label": "latents of the answer" },
    chips.codes.map((code, place) => {
      const share = chips.shares ? chips.shares[place] : 1;
      const chip = el("a", { class: "chip", href: addressOf(run, code), tabindex: "0", style: { "--sure": share.toFixed(3) }, "aria-label": chipLabel(run, chips, place) }, code);
      return withPopover(chip, () => aboutChip(run, chips, place));
    }));
}

function chipLabel(run, chips, place) {
  const text = chips.texts ? chips.texts[place] : "";
  return `latent ${chips.codes[place]}${text ? `: ${oneLine(text)}` : ""}`;
}

function aboutChip(run, chips, place) {
  const code = chips.codes[place], text = chips.texts ? chips.texts[place] : "";
  return [
    el("p", { class: "pop-head" }, el("b", {}, `Latent ${code}`), el("span", {}, `${place + 1} of ${chips.codes.length}`)),
    text ? el("p", { class: "pop-text" }, oneLine(text)) : note("stands for no text"),
    text ? el("p", { class: "pop-sure" }, `read back by stage 1, ${shareText(chips.sure[place])} sure`) : null,
    chips.alternatives ? alternatives(run, chips.alternatives[place], code) : null,
    addressOf(run, code) && el("p", { class: "pop-more" }, el("a", { href: addressOf(run, code), tabindex: "-1" }, `All about code ${code}`)),
  ];
}

function alternatives(run, likeliest, chosen) {
  return el("table", { class: "alternatives" }, el("caption", {}, "the likeliest latents here"),
    el("tbody", {}, likeliest.filter(([code, share]) => code === chosen || share >= 0.0005).map(([code, share]) =>
      el("tr", { class: code === chosen ? "chosen" : "" },
        el("th", { scope: "row" }, code),
        el("td", { class: "share" }, shareText(share)),
        el("td", { class: "bar" }, el("i", { style: { width: `${100 * share}%` } })),
        el("td", { class: "words" }, oneLine(textOf(run, code)))))));
}

// An answer in full: what it cost, its latents, its text.
function answerCard(column, answer) {
  if (!answer) return el("div", { class: "card" }, el("h3", {}, title(column)), note("This run did not answer this row."));
  return el("div", { class: `card ${answer.right ? "is-right" : "is-wrong"}` },
    el("h3", {}, title(column), verdict(answer.right)),
    el("p", { class: "cost" }, plural(answer.tokens, "token"), answer.chips ? `, ${plural(answer.chips.codes.length, "latent")}` : "",
      answer.thoughts ? `, ${plural(answer.thoughts, "continuous thought")}` : "", answer.finished ? "" : "; cut off by the length limit"),
    chipsOf(column.run, answer.chips),
    readBack(answer.chips),
    el("pre", { class: "text" }, answer.text.replace(/^\n+|\n+$/g, "") || "(no text)"),
    answer.answer === null ? note("No answer could be read out of this text.") : null);
}

function title(column) {
  return el("span", { class: "who" }, el("i", { style: { background: runColour(column.run) } }), column.name, el("small", {}, modeText(column.mode)));
}

function readBack(chips) {
  if (!chips || !chips.texts) return null;
  return el("p", { class: "read-back" }, el("span", {}, "read back "), chips.texts.map(oneLine).filter(Boolean).join("  \u00b7  "));
}

function verdict(right) {
  return el("span", { class: right ? "verdict right" : "verdict wrong" }, right ? "\u2713 right" : "\u2717 wrong");
}
