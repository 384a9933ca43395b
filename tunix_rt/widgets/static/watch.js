// A watched folder: whether it is watched, what came in and what waits, the newest traces, one of them opened.

function watch({ model, el }) {
  const form = open(model, el, { label: "Watched folder" });
  const state = h("span", { className: "trt-health", role: "status" });
  const path = h("code", { className: "trt-grow" });
  const turn = button("", () => form.ask(model.get("watching") ? "stop" : "start"));
  const facts = h("div", { className: "trt-watch-facts" });
  const report = h("div", { className: "trt-watch-report" });
  const { table, body } = traceTable("The newest traces that came in");
  const list = h("div", { className: "trt-scrolled" }, table);
  const opened = h("div", { className: "trt-watch-report trt-watch-opened" });
  form.root.classList.add("trt-watch");
  form.root.append(h("div", { className: "trt-toolbar" }, state, path, turn), facts, report, list, opened);

  const show = (row) => form.ask("show", { id: row.dataset.id });
  body.addEventListener("click", (event) => {
    const row = event.target.closest("tr");
    if (row) show(row);
  });
  body.addEventListener("keydown", (event) => {
    const row = event.target.closest("tr");
    const act = {
      ArrowDown: () => row.nextElementSibling?.focus(),
      ArrowUp: () => row.previousElementSibling?.focus(),
      Enter: () => show(row),
      " ": () => show(row),
    }[event.key];
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
    const { path: name, missing, every, n_files, last_at, waiting, html, rows } = model.get("shown");
    path.textContent = name;
    facts.replaceChildren(...[
      h("div", {}, n_files ? `${count(n_files, "file")} read` : "nothing has come yet",
        ...(last_at ? [" · last came ", when(last_at)] : []), ` · a look every ${n(every)} s`),
      missing && h("div", {}, `${missing}; it is waited for`),
      waiting.length && h("div", {}, `not whole yet: ${waiting.join(", ")}`),
    ].filter(Boolean));
    // Made by the package's own templates, which escape every text.
    const unfolded = [...report.querySelectorAll("details")].map((details) => details.open);
    report.innerHTML = html;
    report.querySelectorAll("details").forEach((details, at) => (details.open = unfolded[at] ?? false));
    const focused = body.contains(document.activeElement) ? document.activeElement.dataset.id : null;
    body.replaceChildren(...rows.map(traceRow));
    for (const row of body.children) row.tabIndex = 0;
    list.hidden = !rows.length;
    if (focused) ([...body.children].find((row) => row.dataset.id === focused) ?? body.firstElementChild)?.focus();
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
