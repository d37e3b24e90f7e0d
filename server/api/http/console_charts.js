// Elements and charts. Texts are set as texts, never as HTML.
const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 180, LEFT = 36, BOTTOM = 22, TOP = 8;
const WIDEST = 640, LABEL = 64;  // in the units of texts, so that these stay legible on a telephone

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function shape(name, attributes, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

const FITS = 3;  // columns beside each other on a telephone; rows of more stand as lists there

/** A table; `columns` are [title, whether it is of numbers]. */
export function table(columns, rows) {
  const head = columns.map(([title, isNumber]) =>
    element("th", { scope: "col", class: isNumber ? "number" : "" }, title));
  const body = rows.map((row) => element("tr", {}, ...row.map((cell, place) =>
    element("td", { class: columns[place][1] ? "number" : "", "data-title": columns[place][0] },
      String(cell)))));
  const kind = columns.length > FITS ? "many" : "";
  return element("div", { class: "scroll", tabindex: "0" }, element("table", { class: kind },
    element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...body)));
}

/** A round number that is at least the greatest value. */
function topOf(greatest) {
  const power = 10 ** Math.floor(Math.log10(Math.max(greatest, 1)));
  return [1, 2, 5, 10].map((each) => each * power).find((each) => each >= greatest) ?? greatest;
}

/**
 * Stacked bars: `series` are [title, class of the bar, class of the key, values], `labels` stand
 * below the bars. The same is there as a table, for those who cannot see it.
 */
export function chart(title, labels, series, texts, number) {
  const width = Math.min(WIDEST, Math.max(260, document.documentElement.clientWidth - 52));
  const greatest = Math.max(1, ...labels.map((_, at) =>
    series.reduce((sum, [, , , values]) => sum + values[at], 0)));
  const top = topOf(greatest), step = (width - LEFT) / Math.max(labels.length, 1);
  const y = (value) => TOP + (HEIGHT - BOTTOM - TOP) * (1 - value / top);
  const picture = shape("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": title });
  for (const value of [0, top / 2, top]) {
    picture.append(
      shape("line", { class: "axis", x1: LEFT, x2: width, y1: y(value), y2: y(value) }),
      shape("text", { x: LEFT - 4, y: y(value) + 4, "text-anchor": "end" }, number(value)));
  }
  const every = Math.ceil(labels.length * LABEL / (width - LEFT));
  labels.forEach((label, at) => {
    let below = 0;
    for (const [name, bar, , values] of series) {
      if (!values[at]) continue;
      const from = y(below + values[at]);
      picture.append(shape("rect",
        { class: bar, x: LEFT + at * step + step * .12, width: step * .76, y: from, height: y(below) - from },
        shape("title", {}, `${label}: ${name} ${number(values[at])}`)));
      below += values[at];
    }
    if (at % every === 0) {
      picture.append(shape("text",
        { x: LEFT + (at + .5) * step, y: HEIGHT - 6, "text-anchor": "middle" }, label));
    }
  });
  const legend = element("p", { class: "legend" },
    ...series.map(([name, , key]) => element("span", { class: key }, name)));
  const rows = labels.map((label, at) => [label, ...series.map(([, , , values]) => number(values[at]))]);
  const columns = [[texts.time, false], ...series.map(([name]) => [name, true])];
  return [picture, legend,
    element("details", {}, element("summary", {}, texts.asTable), table(columns, rows))];
}
