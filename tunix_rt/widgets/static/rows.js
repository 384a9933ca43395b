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
 * @property {{[column: string]: string}} cells of the columns that not every list has
 */

/**
 * A column: its name in Python, its heading, what it is sorted by, its usual width in pixels, what is in its cell, and
 * whether a row has anything for it; without `has` it is always there.
 * @typedef {object} RowColumn
 * @property {string} name of its style
 * @property {string} key
 * @property {string[]} [keys] the columns that it stands for, where it is several in one
 * @property {string} heading
 * @property {string} [order]
 * @property {number} [width]
 * @property {string} [narrow] its width where a row has two lines
 * @property {string} [title]
 * @property {(row: Row) => HTMLElement} cell
 * @property {(row: Row) => boolean} [has]
 */

/** @type {RowColumn[]} */
const COLUMNS = [
  { name: "at", key: "created_at", order: "created_at", width: 96, narrow: "84px", heading: "created", cell: (row) => h("td", {}, moment(row.at)) },
  { name: "prompt", key: "preview", order: "preview", heading: "prompt", cell: promptCell },
  { name: "verdict", key: "verdict", order: "score.answer", width: 94, narrow: "84px", heading: "verdict", has: (row) => row.verdict !== null, cell: verdictCell },
  { name: "answer", key: "answer", width: 150, heading: "answer", cell: (row) => h("td", { dir: "auto", title: row.answer ?? "no final answer" }, row.answer ?? "–") },
  { name: "reward", key: "meta.reward", order: "meta.reward", width: 70, narrow: "46px", heading: "reward", has: (row) => row.reward !== "", cell: (row) => h("td", { title: `reward ${row.reward || "not known"}` }, row.reward || "–") },
  { name: "origin", key: "origin", keys: ["meta.model", "meta.training_step"], order: "meta.training_step", width: 150, heading: "model, step", title: "model and training step", has: (row) => originOf(row) !== "", cell: (row) => h("td", { dir: "auto", title: originOf(row) || "not known" }, originOf(row) || "–") },
  { name: "steps", key: "n_steps", order: "n_steps", width: 60, narrow: "40px", heading: "steps", cell: (row) => h("td", { title: count(row.n_steps, "step") }, n(row.n_steps)) },
  { name: "size", key: "n_chars", order: "n_chars", width: 58, narrow: "48px", heading: "size", title: "characters of prompt, steps and answer", cell: (row) => h("td", { title: count(row.n_chars, "character") }, short(row.n_chars)) },
  { name: "source", key: "source", order: "source", width: 130, heading: "source", cell: (row) => h("td", { dir: "auto", title: row.source ?? "no source" }, row.source ?? "–") },
];
const OTHER_WIDTH = 110;
const LEAST_PROMPT = 160;

/**
 * A column by its name in Python: one of those above, or a key of meta, a scorer, a field.
 * @param {string} key
 * @returns {RowColumn}
 */
function columnOf(key) {
  const known = COLUMNS.find((one) => one.key === key);
  if (known) return known;
  return {
    name: "other", key, heading: key.replace(/^(meta|score)\./, ""), title: key, width: OTHER_WIDTH,
    order: key === "id" ? undefined : key,
    cell: (row) => h("td", { dir: "auto", title: `${key}: ${row.cells[key] ?? "none"}` }, row.cells[key] ?? "–"),
  };
}

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
 * What a list shows: the names of its columns, or none for what its rows have, and the widths that are not the usual ones.
 * @typedef {{columns: string[], widths: {[column: string]: number}}} TableLayout
 */

/**
 * An empty table of traces, its body, and what shows rows in it.
 * @param {string} label
 * @param {{choosable?: boolean, layout?: () => TableLayout}} [options] with a box in each row; with columns of its own
 */
function traceTable(label, { choosable = false, layout = () => ({ columns: [], widths: {} }) } = {}) {
  const head = h("thead", { role: "rowgroup" });
  const body = h("tbody", { role: "rowgroup" });
  const table = h("table", { className: "trt-list", role: "grid", "aria-label": label }, head, body);
  /** @type {RowColumn[]} */
  let shown = [];
  /** @param {string} name */
  const box = (name) => h("input", { type: "checkbox", tabIndex: -1, "aria-label": name });

  /** @param {Row[]} rows */
  function showTraces(rows) {
    const { columns } = layout();
    const found = COLUMNS.filter(({ has }) => !has || rows.some(has));
    shown = columns.length ? columns.map(columnOf) : found;
    const known = shown.some(({ has }) => has);
    head.replaceChildren(h("tr", { role: "row" },
      choosable && h("th", { role: "columnheader", scope: "col", className: "trt-c-choose" }, box("Choose all on this page")),
      shown.map(({ name, key, heading, title, order }) =>
        h("th", { role: "columnheader", scope: "col", className: `trt-c-${name}`, title, "data-column": key, "data-order": order }, heading))));
    // Where little room is, what is known of a trace says more than its size and source.
    const second = shown.filter(({ name }) => name !== "prompt" && !(known && ["size", "source"].includes(name))).map(({ narrow = "minmax(0, 1fr)" }) => narrow);
    table.style.setProperty("--trt-second-line", [...(choosable ? ["24px"] : []), ...second].join(" "));
    table.classList.toggle("trt-knows", known);
    // Columns that somebody has chosen are all there, however little room is.
    table.classList.toggle("trt-picked", columns.length > 0);
    body.replaceChildren(...rows.map((row) => h("tr", { role: "row", tabIndex: -1, "data-id": row.id },
      choosable && h("td", { role: "gridcell", className: "trt-c-choose" }, box("Choose")),
      shown.map((column) => {
        const cell = column.cell(row);
        cell.setAttribute("role", "gridcell");
        cell.classList.add(`trt-c-${column.name}`);
        if (column.name === "other" && Number.isFinite(Number(row.cells[column.key] ?? NaN))) cell.classList.add("trt-number");
        return cell;
      }))));
    showWidths();
  }

  function showWidths() {
    const { columns, widths } = layout();
    let least = 0;
    for (const heading of head.rows[0]?.cells ?? []) {
      const column = shown.find(({ key }) => key === heading.dataset.column);
      if (!column) continue;
      const width = widths[column.key] ?? column.width;
      heading.style.width = width && (widths[column.key] || columns.length) ? `${width}px` : "";
      least += width ?? LEAST_PROMPT;
    }
    table.style.minWidth = columns.length ? `${least}px` : "";
  }
  return { table, body, showTraces, showWidths, shown: () => shown.flatMap(({ key, keys }) => keys ?? [key]) };
}
