// Charts, drawn by Observable Plot in the page's own colours.

const plain = { background: "transparent", color: "inherit", fontFamily: "inherit", overflow: "visible" };

function chart(label, make) {
  const frame = el("figure", { class: "chart", role: "img", "aria-label": label });
  let width = 0;
  const draw = () => {
    const now = Math.round(frame.clientWidth);
    if (!now || now === width) return;
    width = now;
    frame.replaceChildren(make(now));
    frame.querySelectorAll("svg").forEach((svg) => svg.setAttribute("aria-hidden", "true"));
  };
  new ResizeObserver(draw).observe(frame);
  return frame;
}

function legend(runs) {
  return el("p", { class: "legend" }, runs.map((run) =>
    el("span", {}, el("i", { style: { background: runColour(run) } }), data.runs[run].name)));
}

// Accuracy over tokens: a point for every way of answering, its interval as a rule, those of one run joined.
function paretoChart(points) {
  const axis = { grid: true, labelArrow: "none", ticks: 5 };
  const colour = (point) => runColour(point.run);
  return chart("Accuracy against tokens of an answer", (width) => Plot.plot({
    width, height: Math.max(260, Math.min(380, width * 0.5)), marginLeft: 48, marginRight: 24, marginTop: 28, marginBottom: 40, style: plain,
    x: { ...axis, label: "tokens of an answer, on average", nice: true, domain: extent(points.map((one) => one.tokens), 0) },
    y: { ...axis, label: "right answers, %", nice: true, domain: extent(points.flatMap((one) => [100 * one.low, 100 * one.high]), 2, 0, 100) },
    marks: [
      Plot.line(points.slice().sort((a, b) => a.tokens - b.tokens), { x: "tokens", y: (one) => 100 * one.accuracy, z: "run", stroke: colour, strokeOpacity: 0.35 }),
      Plot.ruleX(points, { x: "tokens", y1: (one) => 100 * one.low, y2: (one) => 100 * one.high, stroke: colour, strokeWidth: 1.5 }),
      Plot.dot(points, { x: "tokens", y: (one) => 100 * one.accuracy, r: (one) => (one.mode === "free" ? 6 : 3.5), fill: colour,
        stroke: "var(--ground)", strokeWidth: 1.5 }),
      Plot.tip(points, Plot.pointer({ x: "tokens", y: (one) => 100 * one.accuracy, fill: "var(--raised)", stroke: "var(--line)",
        title: (one) => `${one.name}, ${modeText(one.mode)}\n${(100 * one.accuracy).toFixed(1)} % right (${(100 * one.low).toFixed(1)} to ${(100 * one.high).toFixed(1)})\n${one.tokens.toFixed(1)} tokens` })),
    ],
    r: { type: "identity" },
  }));
}

function extent(values, pad, least = 0, most = Infinity) {
  const low = Math.min(...values), high = Math.max(...values), room = Math.max(pad, 0.12 * (high - low), high === low ? 0.1 * Math.abs(high) || 1 : 0);
  return [Math.max(least, low - room), Math.min(most, high + room)];
}

// A few round values of an axis whose scale is logarithmic, far enough from each other to be told apart.
function logTicks(low, high) {
  for (const digits of [[1, 2, 5], [1, 3], [1]]) {
    const found = d3.range(Math.floor(Math.log10(low)), Math.ceil(Math.log10(high)) + 1)
      .flatMap((power) => digits.map((digit) => Number(`${digit}e${power}`))).filter((one) => low <= one && one <= high);
    if (found.length < 3) return d3.ticks(low, high, 4);
    if (found.length < 7) return found;
  }
  return d3.ticks(Math.log10(low), Math.log10(high), 5).filter(Number.isInteger).map((power) => Number(`1e${power}`));
}

// Lines of several runs over the steps of training.
function curveChart(label, unit, lines, options = {}) {
  const points = lines.flatMap(({ run, values }) => values.map(([step, value]) => ({ run, step, value: (options.times || 1) * value })));
  const low = d3.min(points, (one) => one.value), high = d3.max(points, (one) => one.value);
  const scale = options.log ? { type: "log", ticks: logTicks(low, high), tickFormat: String } : { ticks: 4, domain: options.domain };
  return chart(`${label} over training`, (width) => Plot.plot({
    width, height: 218, marginLeft: 44, marginRight: 8, marginTop: 26, marginBottom: 36, style: plain,
    x: { label: "optimizer step", labelArrow: "none", ticks: 5 },
    y: { label: unit, grid: true, labelArrow: "none", ...scale },
    marks: [
      Plot.line(points, { x: "step", y: "value", z: "run", stroke: (one) => runColour(one.run), strokeWidth: 1.75 }),
      Plot.tip(points, Plot.pointerX({ x: "step", y: "value", fill: "var(--raised)", stroke: "var(--line)",
        title: (one) => `${data.runs[one.run].name}, step ${one.step}: ${one.value.toPrecision(3)}` })),
    ],
  }));
}

// How often a code stands at each place of a trace.
function profileChart(label, profile) {
  const bars = profile.map((count, place) => ({ place: place + 1, count }));
  return chart(label, (width) => Plot.plot({
    width, height: 138, marginLeft: 40, marginRight: 4, marginTop: 24, marginBottom: 32, style: plain,
    x: { label: "place in the trace", labelArrow: "none", type: "band", padding: 0.25, tickFormat: (place) => (bars.length <= 16 || place % 4 === 1 ? place : "") },
    y: { label: "times", grid: true, labelArrow: "none", ticks: 3 },
    marks: [Plot.barY(bars, { x: "place", y: "count", fill: "var(--accent)", fillOpacity: 0.75, tip: { fill: "var(--raised)", stroke: "var(--line)" } }), Plot.ruleY([0], { stroke: "var(--line)" })],
  }));
}
