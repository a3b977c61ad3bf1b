// Where the address leads, the tabs, and the colours.

const main = document.getElementById("main"), tabs = document.getElementById("tabs"), themeButton = document.getElementById("theme");
const PARTS = [["overview", "Overview"], ["codebook", "Codebook"], ["answers", "Answers"]];
const THEMES = ["auto", "light", "dark"];
const narrow = matchMedia("(max-width: 820px)");
let focusDetail = false;

// #overview, #codebook, #code-17, #code-17@run, #answers, #answer-3
function readAddress(hash) {
  const code = /^#code-(\d+)(?:@(.*))?$/.exec(hash), answer = /^#answer-(\d+)$/.exec(hash);
  if (code) {
    const name = code[2] === undefined ? null : decoded(code[2]);
    const run = name === null ? withCodes[0] : data.runs.findIndex((one) => one.name === name && one.codebook);
    return { part: "codebook", run: run < 0 ? withCodes[0] : run, code: Number(code[1]) };
  }
  if (answer) return { part: "answers", row: Number(answer[1]) };
  const part = PARTS.some(([key]) => `#${key}` === hash) ? hash.slice(1) : "overview";
  return { part };
}

function decoded(text) {
  try { return decodeURIComponent(text); } catch { return text; }
}

// Browsers take some hundred addresses in a few seconds, and an arrow key that is held gives more.
function keepAddress(address) {
  try { history.replaceState(null, "", address); } catch { /* the next one will do */ }
}

let overviewNode = null;

function show() {
  hidePopover();
  const at = readAddress(location.hash), chosen = at.code !== undefined || at.row !== undefined;
  document.body.dataset.part = at.part;
  document.body.classList.toggle("chosen", chosen);
  tabs.querySelectorAll("a").forEach((tab) => {
    if (tab.dataset.part === at.part) tab.setAttribute("aria-current", "page");
    else tab.removeAttribute("aria-current");
  });
  const node = at.part === "codebook" ? codebookPage(at.run === undefined ? codebookState.run : at.run, at.code)
    : at.part === "answers" ? answersPage(at.row) : (overviewNode = overviewNode || overview());
  if (main.firstElementChild !== node) { main.replaceChildren(node); scrollTo(0, 0); }
  if (focusDetail || (chosen && narrow.matches)) { main.querySelector(".detail").focus({ preventScroll: true }); scrollTo(0, 0); }
  focusDetail = false;
}

// Enter in a list leads to what is chosen; a tap leads there on a narrow screen, where it hides the list.
function openDetail(address, byPointer) {
  if (byPointer && !narrow.matches) return;
  focusDetail = true;
  history.replaceState(null, "", address.startsWith("#code") ? "#codebook" : "#answers");
  location.hash = address;
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  replaceContent(themeButton, { auto: "\u25d0 Auto", light: "\u2600 Light", dark: "\u263e Dark" }[theme]);
  themeButton.setAttribute("aria-label", `Colours: ${theme}. Change`);
  try { localStorage.setItem("mixlm-report-theme", theme); } catch { /* a browser may keep nothing for a file */ }
}

function storedTheme() {
  try { return localStorage.getItem("mixlm-report-theme"); } catch { return null; }
}

themeButton.addEventListener("click", () => setTheme(THEMES[(THEMES.indexOf(document.documentElement.dataset.theme) + 1) % THEMES.length]));
setTheme(THEMES.includes(storedTheme()) ? storedTheme() : "auto");
for (const [key, text] of PARTS) {
  const number = key === "codebook" && withCodes.length ? data.runs[withCodes[0]].codebook.size : key === "answers" ? data.rows.length : 0;
  tabs.append(el("a", { href: `#${key}`, "data-part": key }, text, number ? el("small", {}, countOf(number)) : null));
}
addEventListener("hashchange", show);
show();
