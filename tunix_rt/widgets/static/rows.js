// Traces in a table, a row for each.

/**
 * A trace as a row shows it: `row_of` in browser.py.
 * @typedef {object} Row
 * @property {string} id
 * @property {string} at when it was created, in UTC
 * @property {string} preview
 * @property {number} n_steps
 * @property {number} n_chars
 * @property {string | null} source
 * @property {string | null} answer
 * @property {{word: string, sign: string, by: string} | null} verdict
 * @property {string} expected the expected answer, or ""
 * @property {string} reward
 * @property {string} model
 * @property {string} training_step
 * @property {string[]} flags
 */

/**
 * A column: its heading, what is in its cell, and whether a row has anything for it; without `has` it is always there.
 * @typedef {object} RowColumn
 * @property {string} name
 * @property {string} heading
 * @property {string} [narrow] its width where a row has two lines
 * @property {string} [title]
 * @property {(row: Row) => HTMLElement} cell
 * @property {(row: Row) => boolean} [has]
 */

/** @type {RowColumn[]} */
const COLUMNS = [
  { name: "at", narrow: "84px", heading: "created", cell: (row) => h("td", {}, moment(row.at)) },
  { name: "prompt", heading: "prompt", cell: promptCell },
  { name: "verdict", narrow: "84px", heading: "verdict", has: (row) => row.verdict !== null, cell: verdictCell },
  { name: "answer", heading: "answer", cell: (row) => h("td", { dir: "auto", title: row.answer ?? "no final answer" }, row.answer ?? "–") },
  { name: "reward", narrow: "46px", heading: "reward", has: (row) => row.reward !== "", cell: (row) => h("td", { title: `reward ${row.reward || "not known"}` }, row.reward || "–") },
  { name: "origin", heading: "model, step", title: "model and training step", has: (row) => originOf(row) !== "", cell: (row) => h("td", { dir: "auto", title: originOf(row) || "not known" }, originOf(row) || "–") },
  { name: "steps", narrow: "40px", heading: "steps", cell: (row) => h("td", { title: count(row.n_steps, "step") }, n(row.n_steps)) },
  { name: "size", narrow: "48px", heading: "size", title: "characters of prompt, steps and answer", cell: (row) => h("td", { title: count(row.n_chars, "character") }, short(row.n_chars)) },
  { name: "source", heading: "source", cell: (row) => h("td", { dir: "auto", title: row.source ?? "no source" }, row.source ?? "–") },
];

/** @param {Row} row */
const originOf = ({ model, training_step }) => [model, training_step && `step ${training_step}`].filter(Boolean).join(" · ");

const MOST_FLAGS = 2; // in a row, which shows how many more there are

/** @param {Row} row */
function promptCell({ preview, flags }) {
  const shown = flags.slice(0, flags.length > MOST_FLAGS + 1 ? MOST_FLAGS : MOST_FLAGS + 1);
  const more = flags.length > shown.length ? [`${flags.length - shown.length} more`] : [];
  const chips = [...shown, ...more].map((name) => h("span", { className: "trt-flag-of" }, h("span", { "aria-hidden": "true" }, "⚑"), ` ${name}`));
  return h("td", {}, h("div", { className: "trt-flagged" },
    h("span", { className: "trt-preview", dir: "auto", title: preview }, preview),
    ...(chips.length ? [h("span", { className: "trt-flags", title: `flags: ${flags.join(", ")}` }, chips)] : [])));
}

/** @param {Row} row */
function verdictCell({ verdict, expected }) {
  const said = verdict ?? { word: "unknown", sign: "?", by: "not scored" };
  return h("td", { title: `${said.word} (${said.by})${expected ? `, expected ${expected}` : ""}` },
    h("span", { className: `trt-badge trt-says-${said.word}` }, h("span", { "aria-hidden": "true" }, said.sign), ` ${said.word}`));
}

/**
 * An empty table of traces, its body, and what shows rows in it: the columns are those that these rows have.
 * @param {string} label
 * @param {{choosable?: boolean}} [options] with a box in each row
 */
function traceTable(label, { choosable = false } = {}) {
  const head = h("thead", { role: "rowgroup" });
  const body = h("tbody", { role: "rowgroup" });
  const table = h("table", { className: "trt-list", role: "grid", "aria-label": label }, head, body);
  /** @param {Row[]} rows */
  function showTraces(rows) {
    const columns = COLUMNS.filter(({ has }) => !has || rows.some(has));
    const boxes = (/** @type {string} */ name) => h("input", { type: "checkbox", tabIndex: -1, "aria-label": name });
    head.replaceChildren(h("tr", { role: "row" },
      choosable && h("th", { role: "columnheader", scope: "col", className: "trt-c-choose" }, boxes("Choose all on this page")),
      columns.map(({ name, heading, title }) =>
      h("th", { role: "columnheader", scope: "col", className: `trt-c-${name}`, title }, heading))));
    const known = columns.some(({ has }) => has);
    // Where little room is, what is known of a trace says more than its size and source.
    const widths = columns.filter(({ name }) => name !== "prompt" && !(known && ["size", "source"].includes(name))).map(({ narrow = "minmax(0, 1fr)" }) => narrow);
    table.style.setProperty("--trt-second-line", [...(choosable ? ["24px"] : []), ...widths].join(" "));
    table.classList.toggle("trt-knows", known);
    body.replaceChildren(...rows.map((row) => h("tr", { role: "row", tabIndex: -1, "data-id": row.id },
      choosable && h("td", { role: "gridcell", className: "trt-c-choose" }, boxes("Choose")),
      columns.map((column) => {
      const cell = column.cell(row);
      cell.setAttribute("role", "gridcell");
      cell.classList.add(`trt-c-${column.name}`);
      return cell;
    }))));
  }
  return { table, body, showTraces };
}
