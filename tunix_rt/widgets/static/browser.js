// The list of traces: search, filters, a page of the table, live mode. Arrow keys walk through the rows.

const LOOK_MS = 2000; // how often live mode looks for new traces

/**
 * @typedef {object} OwnBrowserTraits
 * @property {string} order_by
 * @property {boolean} descending
 * @property {boolean} live
 * @property {string} selected_id
 * @property {number} first_place how many traces are newer than the first row; -1 while that is counted
 * @property {number} n_found -1 while that is counted
 * @property {number} n_new
 * @property {{rows?: Row[], previous?: boolean, next?: boolean, empty?: string, notice?: string}} shown
 * @typedef {FormTraits & ChosenTraits & ColumnsTraits & FiltersTraits & OwnBrowserTraits} BrowserTraits
 */

/**
 * @typedef {object} BrowserActions
 * @property {(args: {filters: TraceFilters}) => object} find
 * @property {() => object} first
 * @property {(args: {order_by: string, descending: boolean}) => object} sort
 * @property {() => object} last
 * @property {() => object} next
 * @property {() => object} previous
 * @property {(args: {date: string}) => object} jump
 * @property {(args: {id: string}) => object} choose
 * @property {(args: {live: boolean}) => object} watch
 * @property {() => object} look
 * @property {() => object} refresh
 * @property {(args: {by: number, start: string}) => object} move
 */

/**
 * @param {Context<BrowserTraits> & {toolbarInto?: HTMLElement, compareInto?: HTMLElement}} context where the app has the
 *   toolbar and a comparison elsewhere
 */
function browserForm({ model, el, toolbarInto, compareInto }) {
  /** @type {View<BrowserActions & ChosenActions & ColumnsActions & FiltersActions>} */
  const form = openView(model, el, { label: "Traces" });
  // One search at a time; of the requests that come meanwhile only the last is sent.
  let latest = 0;
  let turn = Promise.resolve();
  /**
   * @template {keyof BrowserActions} K
   * @param {K} action
   * @param {Parameters<BrowserActions[K]>} args
   */
  function ask(action, ...args) {
    const mine = ++latest;
    turn = turn.then(async () => {
      if (mine !== latest) return;
      list.setAttribute("aria-busy", "true");
      await form.ask(action, ...args);
      list.removeAttribute("aria-busy");
    });
    return turn;
  }

  // The toolbar.
  const { search, more, panel: filters } = filterFields(model, form, (asked) => ask("find", { filters: asked }));
  search.addEventListener("keydown", (event) => {
    if (event.key !== "ArrowDown") return;
    event.preventDefault();
    focusRow(0);
  });

  const jump = h("input", { type: "date", "aria-label": "Jump to a date", title: "Jump to a date (UTC)" });
  jump.addEventListener("change", () => jump.value && ask("jump", { date: jump.value }));
  const live = button("Live", () => {
    return form.ask("watch", { live: !model.get("live") });
  }, { title: "Checks for new traces every 2 seconds; the list does not move" });
  live.prepend(h("span", { className: "trt-dot", "aria-hidden": "true" }));
  const refresh = button("↻", () => ask("refresh"), {
    className: "trt-icon", title: "Refresh: counts what is new, takes away what was deleted; the list does not move", "aria-label": "Refresh",
  });
  const tools = h("div", { className: "trt-toolbar", role: "toolbar", "aria-label": "Find traces" },
    search, more, field("Jump to", jump, "trt-inline"), live, refresh);

  // The table.
  const layout = () => ({ columns: model.get("columns"), widths: model.get("widths") });
  const { table, body, showTraces, showWidths, shown: shownColumns } = traceTable("Traces, newest first", { choosable: true, layout });
  const columns = columnsPanel(model, form, shownColumns);
  const widened = widenedColumns(form, table);
  live.before(columns.unfolder);
  const empty = h("div", { className: "trt-nothing" });
  const list = h("div", { className: "trt-scrolled" }, table, empty);

  const place = h("span", { className: "trt-place", role: "status" });
  const notice = h("div", { className: "trt-notice", role: "status" });
  const news = button("", () => ask("first"), { className: "trt-news", hidden: true });
  const turns = {
    first: button("«", () => ask("first"), { title: "Newest", "aria-label": "Newest traces", className: "trt-icon" }),
    previous: button("‹ Newer", () => ask("previous"), { title: "Previous page: newer traces" }),
    next: button("Older ›", () => ask("next"), { title: "Next page: older traces" }),
    last: button("»", () => ask("last"), { title: "Oldest", "aria-label": "Oldest traces", className: "trt-icon" }),
  };
  const pager = h("nav", { className: "trt-pager", "aria-label": "Pages" },
    turns.first, turns.previous, place, news, turns.next, turns.last);

  (toolbarInto ?? form.root).append(tools, filters, columns.panel);
  const rows = () => [...body.rows];
  const boxes = chosenRows(model, form, {
    body,
    rows,
    current: () => rows().find((row) => row.tabIndex === 0),
    focus: focusRow,
    turn: (by) => go("move", [{ by, start: selected }]),
  });
  form.root.append(list, boxes.bar, notice, pager);
  (compareInto ?? form.root).append(boxes.comparison);
  const headings = () => [...(table.tHead?.rows[0]?.cells ?? [])];
  /** The words of the headings, without those of columns that a narrow list hides: these take no focus. */
  function labels() {
    const all = headings().map((heading) => heading.querySelector(".trt-sort")).filter((one) => one instanceof HTMLElement);
    const visible = all.filter((one) => one.offsetParent);
    return visible.length ? visible : all;
  }
  const isNewestFirst = () => model.get("order_by") === "created_at" && model.get("descending");

  /**
   * Sorts by a column; the sorted one the other way round, and then newest first again.
   * @param {string} order
   */
  function sortBy(order) {
    const again = order === model.get("order_by");
    if (again && model.get("descending") && order !== "created_at") return ask("sort", { order_by: "created_at", descending: true });
    return ask("sort", { order_by: order, descending: again && !model.get("descending") });
  }

  /** The headings as buttons, of which Tab reaches the one that the list is sorted by. */
  function showOrder() {
    const by = model.get("order_by");
    const way = model.get("descending") ? "descending" : "ascending";
    for (const heading of headings()) {
      const { order, column } = heading.dataset;
      if (!column) continue;
      const sorted = order !== undefined && order === by;
      if (order) heading.setAttribute("aria-sort", sorted ? way : "none");
      if (!heading.querySelector(".trt-sort")) {
        const text = heading.textContent ?? "";
        const label = order ? button(text, () => sortBy(order), { className: "trt-sort" }) : h("span", { className: "trt-sort", tabIndex: -1 }, text);
        label.setAttribute("aria-keyshortcuts", "Shift+ArrowLeft Shift+ArrowRight");
        heading.replaceChildren(label);
      }
      /** @type {HTMLElement} */ (heading.querySelector(".trt-sort")).tabIndex = sorted ? 0 : -1;
    }
    // Where the list is sorted by what no column shows, Tab reaches the first heading.
    const all = labels();
    if (all[0] && !all.some((one) => one.tabIndex === 0)) all[0].tabIndex = 0;
    widened.show();
    table.setAttribute("aria-label", isNewestFirst() ? "Traces, newest first" : `Traces by ${by}, ${way}`);
    const [first, previous, next, last] = isNewestFirst() ? ["Newest", "‹ Newer", "Older ›", "Oldest"] : ["First", "‹ Previous", "Next ›", "Last"];
    const [before, behind] = isNewestFirst() ? [": newer traces", ": older traces"] : ["", ""];
    Object.assign(turns.first, { title: first, ariaLabel: `${first} traces` });
    Object.assign(turns.previous, { title: `Previous page${before}`, textContent: previous });
    Object.assign(turns.next, { title: `Next page${behind}`, textContent: next });
    Object.assign(turns.last, { title: last, ariaLabel: `${last} traces` });
  }

  table.tHead?.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    if (event.shiftKey) return;
    const all = labels();
    all[all.indexOf(targetOf(event)) + step]?.focus();
    event.preventDefault();
  });

  /** @param {number} at */
  function focusRow(at) {
    const row = rows()[Math.max(0, Math.min(at, body.rows.length - 1))];
    if (row) choose(row);
  }

  // The chosen row is marked at once; of many choices in a row (a held arrow key) only the last is opened.
  let selected = model.get("selected_id");
  let choosing = false;
  let chosen = Promise.resolve();

  /** @param {HTMLTableRowElement} row */
  function choose(row) {
    row.focus();
    if (selected === row.dataset.id) return;
    selected = row.dataset.id ?? "";
    mark();
    if (!choosing) chosen = openChosen();
  }

  async function openChosen() {
    choosing = true;
    for (let last; last !== selected; ) {
      last = selected;
      await form.ask("choose", { id: last });
    }
    choosing = false;
    take();
  }

  function take() {
    if (choosing) return;
    selected = model.get("selected_id");
    mark();
  }

  function mark() {
    const all = rows();
    const its = all.find((row) => row.dataset.id === selected);
    for (const row of all) {
      row.setAttribute("aria-selected", String(row === its));
      row.tabIndex = row === (its ?? all[0]) ? 0 : -1;
    }
    // Not by scrollIntoView, which would move the notebook as well.
    if (its) {
      const head = table.tHead?.offsetHeight ?? 0;
      if (its.offsetTop - head < list.scrollTop) list.scrollTop = its.offsetTop - head;
      else if (its.offsetTop + its.offsetHeight > list.scrollTop + list.clientHeight)
        list.scrollTop = its.offsetTop + its.offsetHeight - list.clientHeight;
    }
  }

  /**
   * To the next row or page, and the focus with it.
   * @template {keyof BrowserActions} K
   * @param {K} action
   * @param {Parameters<BrowserActions[K]>} args
   * @param {number} [at] the row to choose there; without it the one that the action has chosen
   */
  async function go(action, args, at) {
    await chosen;
    await ask(action, ...args);
    if (at !== undefined) focusRow(at);
    else rows().find((row) => row.dataset.id === selected)?.focus();
  }

  body.addEventListener("click", (event) => {
    const row = targetOf(event).closest("tr");
    if (row && !boxes.click(event, row)) choose(row);
  });
  body.addEventListener("keydown", (event) => {
    const row = targetOf(event).closest("tr");
    if (!row) return;
    if (boxes.key(event, row)) {
      event.preventDefault();
      event.stopPropagation();
      return;
    }
    const at = rows().indexOf(row);
    /** @type {{[key: string]: () => unknown}} */
    const acts = {
      ArrowDown: () => (at + 1 < rows().length ? focusRow(at + 1) : go("move", [{ by: 1, start: selected }])),
      ArrowUp: () => (at > 0 ? focusRow(at - 1) : go("move", [{ by: -1, start: selected }])),
      Home: () => focusRow(0),
      End: () => focusRow(rows().length - 1),
      PageDown: () => turns.next.disabled || go("next", [], 0),
      PageUp: () => turns.previous.disabled || go("previous", [], 0),
      Enter: () => choose(row),
    };
    const act = acts[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    act();
  });

  function showRows() {
    const { rows: shown = [], previous, next, empty: hint = "", notice: said = "" } = model.get("shown");
    notice.textContent = said;
    const [firstId, at] = [body.rows[0]?.dataset.id, list.scrollTop];
    const hadFocus = body.contains(document.activeElement);
    const heading = document.activeElement?.closest("th")?.dataset.column;
    showTraces(shown);
    showOrder();
    // The headings may be new ones.
    if (heading) /** @type {HTMLElement | null | undefined} */ (headings().find((one) => one.dataset.column === heading)?.querySelector(".trt-sort"))?.focus();
    table.hidden = !shown.length;
    empty.hidden = shown.length > 0;
    const clear = Object.keys(model.get("filters")).length
      ? button("Clear the filters", () => ask("find", { filters: {} })) : null;
    empty.replaceChildren(h("p", {}, hint), ...(clear ? [clear] : []));
    const had = document.activeElement;
    turns.first.disabled = turns.previous.disabled = !previous;
    turns.next.disabled = turns.last.disabled = !next;
    // A disabled button would keep the focus, and receive the keys.
    if (had instanceof HTMLButtonElement && had.disabled) (next ? turns.next : turns.previous).focus();
    // Where only rows were taken away, the list does not move.
    list.scrollTop = firstId !== undefined && firstId === shown[0]?.id ? at : 0;
    mark();
    boxes.show();
    columns.show();
    if (hadFocus) rows().find((row) => row.tabIndex === 0)?.focus();
  }

  function showPlace() {
    const { rows: shown = [] } = model.get("shown");
    const found = model.get("n_found");
    const first = model.get("first_place");
    const range = first < 0 ? count(shown.length, "trace") : shown.length ? `${n(first + 1)}–${n(first + shown.length)}` : "0";
    place.textContent = `${range} of ${found < 0 ? "…" : n(found)}`;
    const fresh = model.get("n_new");
    news.hidden = !fresh;
    news.textContent = `${n(fresh)} new ↑`;
    news.setAttribute("aria-label", `${count(fresh, "new trace")}: show`);
    const isLive = model.get("live");
    live.setAttribute("aria-pressed", String(isLive));
  }

  // Where columns are only moved, the rows are the same.
  for (const name of ["shown", "columns"]) form.on(`change:${name}`, showRows);
  form.on("change:widths", showWidths);
  for (const name of ["order_by", "descending"]) form.on(`change:${name}`, showOrder);
  form.on("change:selected_id", take);
  for (const name of ["shown", "n_found", "n_new", "first_place", "live"]) form.on(`change:${name}`, showPlace);
  let looking = false;
  form.every(LOOK_MS, async () => {
    if (!model.get("live") || looking || list.hasAttribute("aria-busy")) return;
    looking = true;
    await form.ask("look");
    looking = false;
  });
  showRows();
  showPlace();
  boxes.showComparison();
  return { close: form.close, ask: form.ask, toolbar: tools, filters, search, list, pager };
}
