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
 */

/** @type {[className: string, heading: string][]} */
const COLUMNS = [["at", "created"], ["prompt", "prompt"], ["steps", "steps"], ["size", "size"], ["source", "source"], ["answer", "answer"]];

/**
 * An empty table of traces, and its body for the rows.
 * @param {string} label
 */
function traceTable(label) {
  const body = h("tbody", { role: "rowgroup" });
  const table = h("table", { className: "trt-list", role: "grid", "aria-label": label },
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, COLUMNS.map(([name, heading]) =>
      h("th", { role: "columnheader", scope: "col", className: `trt-c-${name}`, title: name === "size" ? "characters of prompt, steps and answer" : undefined }, heading)))),
    body);
  return { table, body };
}

/**
 * The row of a trace.
 * @param {Row} row
 */
function traceRow(row) {
  return h("tr", { role: "row", tabIndex: -1, "data-id": row.id },
    h("td", { role: "gridcell", className: "trt-c-at" }, moment(row.at)),
    h("td", { role: "gridcell", className: "trt-c-prompt", dir: "auto", title: row.preview }, row.preview),
    h("td", { role: "gridcell", className: "trt-c-steps", title: count(row.n_steps, "step") }, n(row.n_steps)),
    h("td", { role: "gridcell", className: "trt-c-size", title: count(row.n_chars, "character") }, short(row.n_chars)),
    h("td", { role: "gridcell", className: "trt-c-source", dir: "auto", title: row.source ?? "no source" }, row.source ?? "–"),
    h("td", { role: "gridcell", className: "trt-c-answer", dir: "auto", title: row.answer ?? "no final answer" }, row.answer ?? "–"));
}
