// Traces in a table, a row for each.

const COLUMNS = [["at", "created"], ["prompt", "prompt"], ["steps", "steps"], ["size", "size"], ["source", "source"], ["answer", "answer"]];

/** An empty table of traces, and its body for the rows. */
function traceTable(label) {
  const body = h("tbody", { role: "rowgroup" });
  const table = h("table", { className: "trt-list", role: "grid", "aria-label": label },
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, COLUMNS.map(([name, label]) =>
      h("th", { role: "columnheader", scope: "col", className: `trt-c-${name}`, title: name === "size" ? "characters of prompt, steps and answer" : undefined }, label)))),
    body);
  return { table, body };
}

/** The row of a trace. */
function traceRow(row) {
  return h("tr", { role: "row", tabIndex: -1, "data-id": row.id },
    h("td", { role: "gridcell", className: "trt-c-at" }, when(row.at)),
    h("td", { role: "gridcell", className: "trt-c-prompt", dir: "auto", title: row.preview }, row.preview),
    h("td", { role: "gridcell", className: "trt-c-steps", title: count(row.n_steps, "step") }, n(row.n_steps)),
    h("td", { role: "gridcell", className: "trt-c-size", title: count(row.n_chars, "character") }, short(row.n_chars)),
    h("td", { role: "gridcell", className: "trt-c-source", dir: "auto", title: row.source ?? "no source" }, row.source ?? "–"),
    h("td", { role: "gridcell", className: "trt-c-answer", dir: "auto", title: row.answer ?? "no final answer" }, row.answer ?? "–"));
}
