// The data of the page, and what is looked up in them.

const data = JSON.parse(document.getElementById("data").textContent);
const rowByNumber = new Map(data.rows.map((row) => [row.row, row]));
const withCodes = data.runs.map((run, place) => (run.codebook ? place : -1)).filter((place) => place >= 0);
const DEAD = "dead", CONFUSED = "confused", LEAST_GUESSED = 5, GUESSED_RIGHT = 0.5;

data.columns.forEach((column, place) => {
  column.place = place;
  column.name = data.runs[column.run].name;
  column.title = `${column.name} · ${modeText(column.mode)}`;
  column.byRow = new Map();
  for (const answer of column.answers) {
    if (!column.byRow.has(answer.row)) column.byRow.set(answer.row, []);
    column.byRow.get(answer.row).push(answer);
  }
});

function modeText(mode) {
  if (mode === "free") return "free";
  if (mode === "text") return "as text";
  if (mode === "direct") return "answer at once";
  return mode.replace(":", " ").replace("%", "\u2009% latents");
}

const runColour = (place) => `var(--run-${(place % 6) + 1})`;

// What a code stands for, in few words: of training traces, else of the rows.
function textOf(run, code) {
  const book = data.runs[run].codebook, entry = book && book.codes[code];
  if (!entry || !book.meaning) return "";
  if (entry.texts && entry.texts.length) return entry.texts[0][0];
  return entry.read ? entry.read.text : "";
}

const timesUsed = (entry) => (entry.count !== undefined ? entry.count : entry.seen);

function isDead(entry) {
  return timesUsed(entry) === 0 && !entry.seen;
}

function isConfused(entry) {
  return Boolean(entry.guess) && entry.seen >= LEAST_GUESSED && entry.guess.right < GUESSED_RIGHT;
}

// The page of a code; null: latents of this run are no codes that have one.
const addressOf = (run, code) => data.runs[run].codebook && `#code-${code}${run === withCodes[0] ? "" : `@${encodeURIComponent(data.runs[run].name)}`}`;
const answerAddress = (row) => `#answer-${row}`;

// Answers of a run's free column that hold a code, once for all codes.
const usedBy = new Map();
function answersWith(run, code) {
  if (!usedBy.has(run)) {
    const found = new Map();
    const column = data.columns.find((one) => one.run === run && one.mode === "free") || data.columns.find((one) => one.run === run);
    for (const answer of column ? column.answers : []) {
      for (const own of new Set(answer.chips ? answer.chips.codes : [])) {
        if (!found.has(own)) found.set(own, []);
        found.get(own).push(answer);
      }
    }
    usedBy.set(run, { found, column });
  }
  const { found, column } = usedBy.get(run);
  return { answers: found.get(code) || [], column };
}
