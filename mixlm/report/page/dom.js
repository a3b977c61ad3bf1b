// Elements: every text comes in as a text node, so nothing that rows or models wrote is ever read as HTML.

function el(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") for (const [event, listener] of Object.entries(value)) node.addEventListener(event, listener);
    else if (name === "style") for (const [key, one] of Object.entries(value)) node.style.setProperty(key, one);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

function replaceContent(node, ...children) {
  node.replaceChildren(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

const percentOf = (share, digits = 0) => `${(100 * share).toFixed(digits)}\u2009%`;
const countOf = (number) => number.toLocaleString("en");
const plural = (number, one, many = `${one}s`) => `${countOf(number)} ${number === 1 ? one : many}`;

// A share that would round to 0 or 100 % and is neither is written so that it is seen.
function shareText(share) {
  if (share > 0 && share < 0.001) return "<\u20090.1\u2009%";
  if (share > 0 && share < 0.01) return percentOf(share, 1);
  if (share < 1 && share > 0.99) return `${(Math.floor(1000 * share) / 10).toFixed(1)}\u2009%`;
  return percentOf(share);
}

// Text whose line ends are seen, for places that show one line.
const oneLine = (text) => text.trim().replace(/\s*\n\s*/g, " \u21b5 ");

function select(label, options, value, onChange) {
  const control = el("select", { on: { change: (event) => onChange(event.target.value) } });
  for (const [key, text] of options) control.append(el("option", { value: key, selected: key === value }, text));
  return el("label", { class: "field" }, el("span", {}, label), control);
}

function searchField(label, value, onInput) {
  let waiting = 0;
  const later = (event) => {
    clearTimeout(waiting);
    waiting = setTimeout(() => onInput(event.target.value), 60);
  };
  const input = el("input", { type: "search", placeholder: label, "aria-label": label, autocomplete: "off", on: { input: later } });
  input.value = value;
  return el("div", { class: "field search" }, input);
}

// A row of buttons of which one is pressed.
function choices(label, options, value, onChange) {
  const buttons = options.map(([key, text, hint]) =>
    el("button", { type: "button", "aria-pressed": String(key === value), title: hint, "data-key": key,
      on: { click: () => { press(key); onChange(key); } } }, text));
  const press = (key) => buttons.forEach((one) => one.setAttribute("aria-pressed", String(one.dataset.key === key)));
  return el("div", { class: "choices", role: "group", "aria-label": label }, buttons);
}

const note = (text) => el("p", { class: "note" }, text);

function section(title, about, ...children) {
  return el("section", {}, el("h2", {}, title), about ? el("p", { class: "about" }, about) : null, children);
}
