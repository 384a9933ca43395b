// The list of traces: search, filters, a page of the table, live mode. Arrow keys walk through the rows.

const TYPING_MS = 300; // a pause in typing that means "search now"
const LOOK_MS = 2000; // how often live mode looks for new traces

/**
 * The filters of `store.page`, as JSON; `text` is the search.
 * @typedef {{[name: string]: unknown}} TraceFilters
 */

/**
 * A filter that has a field of its own.
 * @typedef {object} FilterField
 * @property {string} name
 * @property {"text" | "count" | "number" | "time" | "terms"} input
 * @property {string} caption
 * @property {string} label
 * @property {boolean} beside
 */

/**
 * @typedef {object} OwnBrowserTraits
 * @property {TraceFilters} filters
 * @property {FilterField[]} filter_fields
 * @property {string} order_by
 * @property {boolean} descending
 * @property {boolean} live
 * @property {string} selected_id
 * @property {number} first_place how many traces are newer than the first row; -1 while that is counted
 * @property {number} n_found -1 while that is counted
 * @property {number} n_new
 * @property {{rows?: Row[], previous?: boolean, next?: boolean, empty?: string, notice?: string}} shown
 * @typedef {FormTraits & ChosenTraits & ColumnsTraits & OwnBrowserTraits} BrowserTraits
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
 * @property {() => {sources: string[]}} sources
 * @property {(args: {name: string, text: string}) => {suggestions: {value: string, label: string}[]}} suggest
 */

/**
 * @param {Context<BrowserTraits> & {toolbarInto?: HTMLElement, compareInto?: HTMLElement}} context where the app has the
 *   toolbar and a comparison elsewhere
 */
function browserForm({ model, el, toolbarInto, compareInto }) {
  /** @type {View<BrowserActions & ChosenActions & ColumnsActions>} */
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
  const search = h("input", {
    type: "search",
    className: "trt-search",
    placeholder: "Search prompt, steps, answer",
    "aria-label": "Search in prompt, steps and answer",
  });
  /** @type {number | undefined} */
  let typing;
  /** @param {HTMLInputElement} input */
  function findAsTyped(input) {
    input.addEventListener("input", () => {
      clearTimeout(typing);
      typing = setTimeout(findNow, TYPING_MS);
    });
    input.addEventListener("keydown", (event) => {
      if (event.key !== "Enter") return;
      clearTimeout(typing);
      findNow();
    });
  }
  findAsTyped(search);
  search.addEventListener("keydown", (event) => {
    if (event.key !== "ArrowDown") return;
    event.preventDefault();
    focusRow(0);
  });

  const sources = h("datalist", { id: `trt-sources-${form.me}` });
  // One field for each filter of the table in Python; one that is `beside` continues the field before it.
  const kinds = {
    text: { type: "text", placeholder: "any" },
    count: { type: "number", min: 0, inputMode: "numeric" },
    number: { type: "number", step: "any", inputMode: "decimal", placeholder: "any" },
    time: { type: "datetime-local", step: 1 },
    terms: { type: "text", placeholder: "any", title: "Terms such as reward<1, model!=a, !truncated, with commas between; keys and values of the newest 1,000 traces are offered" },
  };
  /** @type {{[name: string]: HTMLInputElement}} */
  const fields = {};
  /** @type {HTMLElement[]} */
  const labelled = [];
  for (const { name, input, caption, label, beside } of model.get("filter_fields")) {
    fields[name] = h("input", { "aria-label": label, ...kinds[input] });
    if (input === "count") fields[name].placeholder = beside ? "to" : "from";
    if (beside) labelled.at(-1)?.append(field(caption, fields[name], "trt-unsaid"));
    else labelled.push(h("div", { className: "trt-pair" }, field(caption, fields[name])));
  }
  fields.source?.setAttribute("list", sources.id);
  /** @type {HTMLElement[]} */
  const offered = [];
  for (const { name, input } of model.get("filter_fields")) {
    const its = /** @type {HTMLInputElement} */ (fields[name]);
    if (input === "terms") offered.push(offerTerms(form, name, its, findNow));
    else findAsTyped(its);
  }
  const others = h("div", { className: "trt-chips" });
  const filters = h(
    "div",
    { className: "trt-filters", id: `trt-filters-${form.me}`, hidden: true, role: "group", "aria-label": "Filters" },
    sources,
    ...offered,
    ...labelled,
    others,
    button("Clear all", () => ask("find", { filters: {} }), { className: "trt-quietly" }),
  );
  const more = button("Filters", async () => {
    filters.hidden = !filters.hidden;
    more.setAttribute("aria-expanded", String(!filters.hidden));
    if (!filters.hidden) {
      fields.source?.focus();
      const { sources: known = [] } = await form.ask("sources");
      sources.replaceChildren(...known.map((value) => h("option", { value })));
    }
  }, { "aria-expanded": "false", "aria-controls": filters.id });
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
    const sorts = headings().map((heading) => heading.querySelector(".trt-sort")).filter((one) => one instanceof HTMLElement);
    if (sorts[0] && !sorts.some((one) => one.tabIndex === 0)) sorts[0].tabIndex = 0;
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
    const labels = headings().map((heading) => heading.querySelector(".trt-sort")).filter((one) => one instanceof HTMLElement);
    labels[labels.indexOf(targetOf(event)) + step]?.focus();
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

  function findNow() {
    const asked = { ...model.get("filters") };
    const text = search.value;
    if (text) asked.text = text;
    else delete asked.text;
    for (const [name, input] of Object.entries(fields)) {
      // An incomplete date or number: the filter stays as it was until it is complete.
      if (input.validity.badInput) continue;
      if (input.value === "") delete asked[name];
      // A time that the field cannot show in full stays as it was given.
      else if (input.type === "datetime-local") {
        if (input.value !== seconds(asked[name])) asked[name] = `${input.value}Z`;
      } else asked[name] = input.type === "number" ? Number(input.value) : input.value;
    }
    return ask("find", { filters: asked });
  }

  /**
   * A moment as a field for it wants it.
   * @param {unknown} iso
   */
  const seconds = (iso) => (iso ? String(iso).replace(" ", "T").slice(0, 19) : "");

  function showFilters() {
    const given = model.get("filters");
    if (document.activeElement !== search) search.value = String(given.text ?? "");
    for (const [name, input] of Object.entries(fields)) {
      if (document.activeElement === input) continue;
      const value = given[name] ?? "";
      input.value = input.type === "datetime-local" ? seconds(value) : String(value);
    }
    const unknown = Object.keys(given).filter((name) => name !== "text" && !(name in fields));
    others.replaceChildren(...unknown.map((name) => {
      const asked = given[name];
      const value = typeof asked === "string" ? asked : JSON.stringify(asked);
      const { [name]: _, ...rest } = given;
      return button(`${name}: ${value.length > 40 ? value.slice(0, 39) + "…" : value} ×`, () => ask("find", { filters: rest }),
        { className: "trt-chip", title: "Remove this filter", "aria-label": `Remove the filter ${name}` });
    }));
    const active = Object.keys(given).filter((name) => name !== "text").length;
    more.textContent = active ? `Filters (${active})` : "Filters";
  }

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

  form.on("change:filters", showFilters);
  form.on("change:shown", showRows);
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
  showFilters();
  showRows();
  showPlace();
  boxes.showComparison();
  form.onClose(() => clearTimeout(typing));
  return { close: form.close, ask: form.ask, toolbar: tools, filters, search, list, pager };
}
