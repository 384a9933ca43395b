// A watched folder: whether it is watched, what came in and what waits, the newest traces, one of them opened.

/**
 * @typedef {object} OwnWatchTraits
 * @property {boolean} watching
 * @property {WatchShown} shown
 * @property {string} opened the HTML of a trace, or ""
 * @typedef {FormTraits & OwnWatchTraits} WatchTraits
 */

/**
 * @typedef {object} WatchShown
 * @property {string} path
 * @property {string} missing why it cannot be read yet, or ""
 * @property {number} every seconds between two checks
 * @property {number} n_files
 * @property {string | null} last_at
 * @property {string[]} waiting files that are not complete yet
 * @property {string[]} gone files that were read and are no longer there
 * @property {string[]} shorter files that were cut, and read again from their start
 * @property {string} html the report
 * @property {Row[]} rows
 */

/**
 * @typedef {object} WatchActions
 * @property {() => object} start
 * @property {() => object} stop
 * @property {(args: {id: string}) => object} show
 */

/** @param {Context<WatchTraits>} context */
function watchForm({ model, el }) {
  /** @type {View<WatchActions>} */
  const form = openView(model, el, { label: "Watched folder" });
  const state = h("span", { className: "trt-health", role: "status" });
  const path = h("code", { className: "trt-grow" });
  const turn = button("", () => form.ask(model.get("watching") ? "stop" : "start"));
  const facts = h("div", { className: "trt-watch-facts" });
  const report = h("div", { className: "trt-watch-report" });
  const { table, body, showTraces } = traceTable("The newest traces that came in");
  const list = h("div", { className: "trt-scrolled" }, table);
  const opened = h("div", { className: "trt-watch-report trt-watch-opened" });
  form.root.classList.add("trt-watch");
  form.root.append(h("div", { className: "trt-toolbar" }, state, path, turn), facts, report, list, opened);

  /** @param {HTMLElement} row */
  const show = (row) => form.ask("show", { id: row.dataset.id ?? "" });
  body.addEventListener("click", (event) => {
    const row = targetOf(event).closest("tr");
    if (row) show(row);
  });
  body.addEventListener("keydown", (event) => {
    const row = targetOf(event).closest("tr");
    if (!row) return;
    const at = [...body.rows].indexOf(row);
    /** @type {{[key: string]: () => unknown}} */
    const acts = {
      ArrowDown: () => body.rows[at + 1]?.focus(),
      ArrowUp: () => body.rows[at - 1]?.focus(),
      Enter: () => show(row),
      " ": () => show(row),
    };
    const act = acts[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    act();
  });

  function showState() {
    const watching = model.get("watching");
    state.replaceChildren(
      h("span", { className: `trt-dot${watching ? " trt-is-on" : ""}`, "aria-hidden": "true" }), watching ? " watching" : " stopped");
    turn.textContent = watching ? "Stop" : "Start again";
  }

  function showWhatCame() {
    const { path: name, missing, every, n_files, last_at, waiting, gone, shorter, html, rows } = model.get("shown");
    path.textContent = name;
    facts.replaceChildren(
      h("div", {}, n_files ? `${count(n_files, "file")} read` : "no files yet",
        ...(last_at ? [" · last new data ", moment(last_at)] : []), ` · checked every ${n(every)} s`),
      ...(missing ? [h("div", {}, `${missing}; waiting for it`)] : []),
      ...(waiting.length ? [h("div", {}, `not complete yet: ${waiting.join(", ")}`)] : []),
      ...(shorter.length ? [h("div", {}, `shorter than before, read again from the start: ${shorter.join(", ")}`)] : []),
      ...(gone.length ? [h("div", {}, `no longer there, their traces stay: ${gone.join(", ")}`)] : []),
    );
    // Made by the package's own templates, which escape every text.
    const unfolded = [...report.querySelectorAll("details")].map((details) => details.open);
    report.innerHTML = html;
    report.querySelectorAll("details").forEach((details, at) => (details.open = unfolded[at] ?? false));
    const focused = [...body.rows].find((row) => row.contains(document.activeElement))?.dataset.id;
    showTraces(rows);
    for (const row of body.rows) row.tabIndex = 0;
    list.hidden = !rows.length;
    if (focused) ([...body.rows].find((row) => row.dataset.id === focused) ?? body.rows[0])?.focus();
  }

  function showOpened() {
    // Made by the package's own templates, which escape every text of a trace.
    opened.innerHTML = model.get("opened");
  }

  form.on("change:watching", showState);
  form.on("change:shown", showWhatCame);
  form.on("change:opened", showOpened);
  showState();
  showWhatCame();
  showOpened();
  return { close: form.close, ask: form.ask };
}
