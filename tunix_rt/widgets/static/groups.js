// The groups of samples, a row for each prompt with a mark for each sample, or prompts × policies; a sample is read beside.

/**
 * A sample as a mark: its verdict as a word and a sign, and all that is known of it in words.
 * @typedef {object} SampleMark
 * @property {string} id
 * @property {"right" | "wrong" | "unknown" | "deleted"} word
 * @property {string} sign
 * @property {string} says
 */

/**
 * How many of the judged samples are correct, and the interval of their share; null where too few are judged.
 * @typedef {{correct: number, judged: number, share: number | null, low: number | null, high: number | null, says: string}} GroupRate
 */

/**
 * A group as a row; `more` samples have no mark in it.
 * @typedef {object} GroupRow
 * @property {number} group its index
 * @property {string} prompt
 * @property {string} origin the policy, where there are several
 * @property {string} level
 * @property {GroupRate} rate
 * @property {string} reward
 * @property {string} spread
 * @property {number} n_samples
 * @property {SampleMark[]} marks
 * @property {number} more
 */

/**
 * A prompt as a row of the matrix.
 * @typedef {object} MatrixLine
 * @property {string} prompt
 * @property {string} difference
 * @property {({group: number, n_samples: number, rate: GroupRate} | null)[]} cells one of each policy
 */

/** @typedef {"groups" | "matrix"} GroupsViewName */

/**
 * A page of rows: of groups, or of the matrix.
 * @typedef {object} GroupsPage
 * @property {GroupsViewName} view
 * @property {(GroupRow | MatrixLine)[]} rows
 * @property {number} first
 * @property {number} n_found
 * @property {string} empty
 */

/**
 * @typedef {object} OwnGroupsTraits
 * @property {GroupsViewName} view
 * @property {string} level
 * @property {number} policy -1: all
 * @property {number} least
 * @property {number} most
 * @property {string} order_by
 * @property {boolean} descending
 * @property {{facts: [string, string][], levels: {name: string, n: number}[], n_groups: number, policies: string[]}} overview
 * @property {GroupsPage} shown
 * @property {{group?: number, id?: string, prompt?: string, origin?: string, marks?: SampleMark[], more?: number}} chosen
 * @property {{html?: string, a?: string, b?: string}} compared
 * @property {string} viewer the name of its model
 * @typedef {FormTraits & FiltersTraits & OwnGroupsTraits} GroupsTraits
 */

/**
 * @typedef {object} GroupsActions
 * @property {() => object} refresh
 * @property {(args: {filters: TraceFilters}) => object} regroup
 * @property {(args: {level: string | null, policy: number | null, least: number | null, most: number | null}) => object} narrow
 * @property {(args: {order_by: string, descending: boolean}) => object} sort
 * @property {(args: {view: GroupsViewName}) => object} see
 * @property {(args: {to: string}) => object} turn
 * @property {(args: {group: number, id: string | null}) => object} choose
 * @property {(args: {id: string}) => object} compare
 * @property {() => object} end_comparison
 */

/** @param {Context<GroupsTraits>} context */
async function groupsForm({ model, el }) {
  const trace = await model.widget_manager.get_model(model.get("viewer").slice("IPY_MODEL_".length));
  /** @type {View<GroupsActions & FiltersActions>} */
  const form = openView(model, el, { label: "Groups of samples" });
  /** Where the focus is in the table: the row, and the mark or cell in it. */
  let at = { row: 0, mark: 0 };
  /** @type {Promise<unknown>} */
  let turn = Promise.resolve();

  /**
   * Requests an action after those before it.
   * @template {keyof GroupsActions} K
   * @param {K} action
   * @param {Parameters<GroupsActions[K]>} args
   */
  function act(action, ...args) {
    const done = turn.then(async () => {
      list.setAttribute("aria-busy", "true");
      const reply = await form.ask(action, ...args);
      list.removeAttribute("aria-busy");
      return reply;
    });
    turn = done;
    return done;
  }

  /** Narrows the groups; what is not given stays as it is. @param {Partial<Parameters<GroupsActions["narrow"]>[0]>} to */
  const narrow = (to) => act("narrow", { level: null, policy: null, least: null, most: null, ...to });

  // Groups of which traces. Of the filters that are typed while they are grouped only the last are requested.
  /** @type {TraceFilters | null} */
  let wanted = null;
  let regrouping = false;
  /** @param {TraceFilters} filters */
  async function regroup(filters) {
    wanted = filters;
    if (regrouping) return;
    regrouping = true;
    while (wanted) {
      const asked = wanted;
      wanted = null;
      await act("regroup", { filters: asked });
    }
    regrouping = false;
  }
  const finding = filterFields(model, form, regroup);

  // What is shown, of which groups.
  /** @param {GroupsViewName} view @param {string} label @param {string} title */
  const way = (view, label, title) => {
    const input = h("input", { type: "radio", name: `trt-groups-${form.me}`, value: view, onchange: () => act("see", { view }) });
    return { input, label: h("label", { title }, input, h("span", {}, label)) };
  };
  const ways = [way("groups", "Groups", "A row for each prompt, its samples side by side"), way("matrix", "Matrix", "Prompts × policies: which model fails which problem")];
  const views = h("div", { className: "trt-choice", role: "radiogroup", "aria-label": "Show" }, ways.map((one) => one.label));
  const levels = h("div", { className: "trt-chips", role: "group", "aria-label": "Levels" });
  const policies = h("select", { "aria-label": "Policy", onchange: () => narrow({ policy: Number(policies.value) }) });
  const bound = (/** @type {string} */ label, /** @type {string} */ placeholder) => h("input", {
    type: "number", min: 0, max: 100, step: "any", inputMode: "decimal", placeholder, "aria-label": label, onchange: () => narrowRate(),
  });
  const [least, most] = [bound("Pass rate from, in percent", "0"), bound("Pass rate to, in percent", "100")];
  const rate = h("div", { className: "trt-pair trt-rates" }, field("correct, %", least, "trt-inline"), h("span", { "aria-hidden": "true" }, "–"), most);
  const tools = h("div", { className: "trt-toolbar", role: "toolbar", "aria-label": "Which groups" },
    finding.search, finding.more, views, levels, rate, policies, button("Refresh", () => act("refresh"), { className: "trt-end", title: "Group the traces anew" }));
  const facts = h("div", { className: "trt-watch-facts" });

  const head = h("thead", { role: "rowgroup" });
  const body = h("tbody", { role: "rowgroup" });
  const table = h("table", { className: "trt-list trt-of-groups", role: "grid" }, head, body);
  const empty = h("div", { className: "trt-nothing" });
  const list = h("div", { className: "trt-scrolled" }, table, empty);
  const place = h("span", { className: "trt-place", role: "status" });
  const turns = {
    first: button("«", () => act("turn", { to: "first" }), { title: "First page", "aria-label": "First page", className: "trt-icon" }),
    previous: button("‹ Previous", () => act("turn", { to: "previous" }), { title: "Previous page" }),
    next: button("Next ›", () => act("turn", { to: "next" }), { title: "Next page" }),
    last: button("»", () => act("turn", { to: "last" }), { title: "Last page", "aria-label": "Last page", className: "trt-icon" }),
  };
  const pager = h("nav", { className: "trt-pager", "aria-label": "Pages" }, turns.first, turns.previous, place, turns.next, turns.last);

  // The open group, above its trace or the comparison of two.
  const heads = h("bdi", { className: "trt-strip-title" });
  const strip = h("div", { className: "trt-marks", role: "toolbar", "aria-label": "Samples of the open group" });
  const pairing = button("Compare with …", () => setPairing(pairing.getAttribute("aria-pressed") !== "true"), {
    "aria-pressed": "false", title: "Then choose the other sample (on a mark: c, or Shift and a click)",
  });
  const back = button("‹ Back to the trace", () => act("end_comparison"), { title: "Show the trace again (Escape)" });
  const opened = h("div", { className: "trt-strip", hidden: true }, heads, strip, pairing, back);
  const reading = h("div", { className: "trt-of-viewer" });
  const compared = h("div", { className: "trt-scrolled trt-compared-page", tabIndex: 0, role: "region", "aria-label": "The comparison", hidden: true });
  const left = h("div", { className: "trt-left" }, list, pager);
  const right = h("div", { className: "trt-right" }, opened, reading, compared);
  /** @param {string} key @param {string} what */
  const hint = (key, what) => h("span", {}, key.split(" ").map((one) => h("kbd", { "aria-hidden": "true" }, one)), ` ${what}`);
  const legend = ["right", "wrong", "unknown"].map((word, n_) => h("span", {}, h("span", { className: `trt-mark trt-is-${word}`, "aria-hidden": "true" }, ["✓", "✗", "?"][n_] ?? ""), ` ${word}`));
  const hints = h("div", { className: "trt-hints" }, legend, hint("← → ↑ ↓", "move"), hint("Enter", "read the sample"), hint("c", "compare it with the one that is open"));
  form.root.classList.add("trt-app", "trt-groups");
  form.root.append(tools, finding.panel, facts, h("div", { className: "trt-both" }, left, right), hints);
  const reader = viewerForm({ model: trace, el: reading });

  function narrowRate() {
    if (least.validity.badInput || most.validity.badInput) return;
    void narrow({ least: Number(least.value || 0) / 100, most: Number(most.value || 100) / 100 });
  }

  /** @param {boolean} on */
  function setPairing(on) {
    pairing.setAttribute("aria-pressed", String(on));
    form.root.classList.toggle("trt-pairing", on);
  }

  /**
   * Reads a sample, or compares it with the one that is open.
   * @param {number} group
   * @param {string | null} id
   * @param {boolean} [paired]
   */
  async function pick(group, id, paired = pairing.getAttribute("aria-pressed") === "true") {
    if (paired && id && id !== model.get("chosen").id) {
      setPairing(false);
      await act("compare", { id });
    } else await act("choose", { group, id });
  }

  /** @param {SampleMark} mark @param {number} group @param {number} place_ */
  function markButton(mark, group, place_) {
    return h("button", {
      type: "button", className: `trt-mark trt-is-${mark.word}`, tabIndex: -1, "data-id": mark.id,
      title: mark.says, "aria-label": `Sample ${place_ + 1}: ${mark.says}`,
      onclick: (event) => pick(group, mark.id, event.shiftKey || undefined),
    }, mark.sign);
  }

  /** @param {GroupRate} of */
  function rateShown(of) {
    if (of.share === null) return [h("span", { title: of.says }, "–")];
    const range = h("span", { className: "trt-range", "aria-hidden": "true" });
    range.style.setProperty("--at", `${of.share * 100}%`);
    range.style.setProperty("--low", `${(of.low ?? of.share) * 100}%`);
    range.style.setProperty("--high", `${(of.high ?? of.share) * 100}%`);
    return [h("span", { className: "trt-of", title: of.says }, `${n(of.correct)}/${n(of.judged)}`), range];
  }

  /**
   * A heading that sorts; the sorted one the other way round.
   * @param {string} label
   * @param {string} order
   * @param {string} css
   * @param {string} [title_]
   */
  function heading(label, order, css, title_) {
    const sorted = model.get("order_by") === order;
    const descending = model.get("descending");
    return h("th", { role: "columnheader", scope: "col", className: css, title: title_, "aria-sort": sorted ? (descending ? "descending" : "ascending") : "none" },
      button(label, () => act("sort", { order_by: order, descending: sorted ? !descending : ["difference", "reward_spread"].includes(order) }),
        { className: "trt-sort", "data-order": order, tabIndex: sorted ? 0 : -1 }));
  }

  /** @param {string} css @param {Properties} properties @param {...(Child | Child[])} children */
  const cell = (css, properties, ...children) => h("td", { role: "gridcell", className: css, ...properties }, ...children);

  /** @param {GroupRow} row */
  function groupRow(row) {
    return h("tr", { role: "row", "data-group": row.group },
      cell("trt-c-prompt", { title: row.prompt, onclick: () => pick(row.group, null, false) }, h("bdi", {}, row.prompt), row.origin ? h("bdi", { className: "trt-origin" }, row.origin) : null),
      cell("trt-c-marks", {}, h("div", { className: "trt-marks" }, row.marks.map((mark, place_) => markButton(mark, row.group, place_)),
        row.more ? h("span", { className: "trt-place" }, `+ ${n(row.more)}`) : null)),
      cell("trt-c-rate", {}, ...rateShown(row.rate)),
      cell("trt-c-level", {}, row.level),
      cell("trt-c-reward", { title: row.reward ? `mean reward ${row.reward}${row.spread ? `, from lowest to highest ${row.spread}` : ""}` : "no reward" },
        row.reward || "–", row.spread ? h("span", { className: "trt-spread" }, ` ↕ ${row.spread}`) : null));
  }

  /** @param {MatrixLine} row */
  function matrixRow(row) {
    const names = model.get("overview").policies;
    return h("tr", { role: "row" },
      cell("trt-c-prompt", { title: row.prompt }, h("bdi", {}, row.prompt)),
      cell("trt-c-difference", {}, row.difference || "–"),
      row.cells.map((one, column) => cell("trt-c-cell", {}, one ? h("button", {
        type: "button", className: "trt-cell", tabIndex: -1, "data-group": one.group,
        title: `${names[column]}: ${one.rate.says}, ${count(one.n_samples, "sample")}`,
        "aria-label": `${names[column]}: ${one.rate.says}, ${count(one.n_samples, "sample")}`,
        onclick: () => pick(one.group, null, false),
      }, ...rateShown(one.rate)) : h("span", { title: "no samples" }, "–"))));
  }

  /** The buttons of a row that the arrow keys walk through. @param {HTMLTableRowElement | undefined} row */
  const stops = (row) => /** @type {HTMLButtonElement[]} */ ([...(row?.querySelectorAll("td button") ?? [])]);

  /** @param {number} row @param {number} mark @param {boolean} [focused] */
  function goTo(row, mark, focused = true) {
    const rows = [...body.rows];
    const line = rows[Math.max(0, Math.min(row, rows.length - 1))];
    const marks = stops(line);
    const to = marks[Math.max(0, Math.min(mark, marks.length - 1))];
    for (const one of body.querySelectorAll("button[tabindex='0']")) /** @type {HTMLElement} */ (one).tabIndex = -1;
    if (!to || !line) return;
    at = { row: rows.indexOf(line), mark: marks.indexOf(to) };
    to.tabIndex = 0;
    if (!focused) return;
    to.focus({ preventScroll: true });
    // Not by scrollIntoView, which would move the notebook as well.
    const above = table.tHead?.offsetHeight ?? 0;
    if (line.offsetTop - above < list.scrollTop) list.scrollTop = line.offsetTop - above;
    else if (line.offsetTop + line.offsetHeight > list.scrollTop + list.clientHeight) list.scrollTop = line.offsetTop + line.offsetHeight - list.clientHeight;
  }

  /** To another page, and to a row of it. @param {string} to @param {number} row */
  async function turnTo(to, row) {
    const { first } = model.get("shown");
    const { mark } = at;
    await act("turn", { to });
    if (model.get("shown").first !== first) goTo(row, mark);
  }

  body.addEventListener("keydown", (event) => {
    const row = targetOf(event).closest("tr");
    const pressed = targetOf(event).closest("button");
    if (!row || !pressed || event.ctrlKey || event.metaKey || event.altKey) return;
    const now = [...body.rows].indexOf(row);
    const mark = stops(row).indexOf(pressed);
    /** @type {{[key: string]: () => unknown}} */
    const acts = {
      ArrowRight: () => goTo(now, mark + 1),
      ArrowLeft: () => goTo(now, mark - 1),
      ArrowDown: () => (now + 1 < body.rows.length ? goTo(now + 1, mark) : turnTo("next", 0)),
      ArrowUp: () => (now ? goTo(now - 1, mark) : turnTo("previous", body.rows.length)),
      Home: () => goTo(now, 0),
      End: () => goTo(now, stops(row).length),
      PageDown: () => turnTo("next", 0),
      PageUp: () => turnTo("previous", 0),
      c: () => pressed.dataset.id && pick(Number(row.dataset.group), pressed.dataset.id, true),
    };
    const does = acts[event.key];
    if (!does) return;
    event.preventDefault();
    event.stopPropagation();
    void does();
  });
  body.addEventListener("focusin", (event) => {
    const row = targetOf(event).closest("tr");
    const focused = targetOf(event).closest("button");
    if (row && focused) goTo([...body.rows].indexOf(row), stops(row).indexOf(focused), false);
  });
  for (const [bar, selector] of /** @type {[HTMLElement, string][]} */ ([[strip, "button"], [head, "th button"]])) {
    bar.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      // Those of columns that a narrow table hides take no focus.
      const all = /** @type {HTMLButtonElement[]} */ ([...bar.querySelectorAll(selector)]).filter((one) => one.offsetParent);
      const focused = targetOf(event).closest("button");
      if (event.key === "c" && bar === strip && focused?.dataset.id) void pick(model.get("chosen").group ?? 0, focused.dataset.id, true);
      else if (by) all[all.indexOf(/** @type {HTMLButtonElement} */ (focused)) + by]?.focus();
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
  }
  right.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || compared.hidden) return;
    event.stopPropagation();
    void act("end_comparison");
  });

  function showControls() {
    const isMatrix = model.get("view") === "matrix";
    const all = model.get("overview");
    for (const one of ways) one.input.checked = one.input.value === model.get("view");
    const had = levels.contains(document.activeElement) ? document.activeElement?.getAttribute("data-level") : null;
    levels.replaceChildren(...[{ name: "", n: all.n_groups }, ...all.levels].map(({ name, n: n_ }) => button(`${name || "all"} ${n(n_)}`, () => narrow({ level: name }),
      { className: "trt-chip", "data-level": name, "aria-pressed": String(model.get("level") === name) })));
    if (had !== null) /** @type {HTMLElement | null} */ (levels.querySelector(`[data-level="${had}"]`))?.focus();
    policies.replaceChildren(h("option", { value: "-1" }, `all ${n(all.policies.length)} policies`), ...all.policies.map((name, one) => h("option", { value: String(one) }, name)));
    policies.value = String(model.get("policy"));
    levels.hidden = rate.hidden = isMatrix;
    policies.hidden = isMatrix || all.policies.length < 2;
    if (document.activeElement !== least) least.value = model.get("least") ? String(Number((model.get("least") * 100).toFixed(4))) : "";
    if (document.activeElement !== most) most.value = model.get("most") < 1 ? String(Number((model.get("most") * 100).toFixed(4))) : "";
    facts.replaceChildren(...all.facts.flatMap(([name, text], one) => [one ? " · " : "", `${name} `, h("bdi", { className: "trt-fact" }, text)]));
  }

  function showRows() {
    const { view, rows, first, n_found: found, empty: hint_ } = model.get("shown");
    const inBody = body.contains(document.activeElement);
    const order = document.activeElement?.getAttribute("data-order");
    const isMatrix = view === "matrix";
    const names = model.get("overview").policies;
    table.classList.toggle("trt-of-matrix", isMatrix);
    table.setAttribute("aria-label", isMatrix ? "Prompts and policies" : "Groups of samples");
    const columns = isMatrix
      ? [heading("prompt", "prompt", "trt-c-prompt"), heading("differ by", "difference", "trt-c-difference", "from the worst policy to the best"),
        ...(/** @type {MatrixLine | undefined} */ (rows[0])?.cells ?? []).map((_, one) => heading(names[one] ?? "", String(one), "trt-c-cell", names[one]))]
      : [heading("prompt", "prompt", "trt-c-prompt"), heading("samples", "samples", "trt-c-marks"), heading("correct", "pass_rate", "trt-c-rate", "correct of judged samples, with the 95 % interval of the share"),
        h("th", { role: "columnheader", scope: "col", className: "trt-c-level" }, "level"), heading("reward", "reward", "trt-c-reward", "mean reward ↕ from the lowest to the highest")];
    head.replaceChildren(h("tr", { role: "row" }, columns));
    body.replaceChildren(...rows.map((row) => ("marks" in row ? groupRow(row) : matrixRow(row))));
    table.hidden = !rows.length;
    empty.hidden = rows.length > 0;
    empty.replaceChildren(h("p", {}, hint_));
    const had = document.activeElement;
    turns.first.disabled = turns.previous.disabled = first === 0;
    turns.next.disabled = turns.last.disabled = first + rows.length >= found;
    // A disabled button would keep the focus, and receive the keys.
    if (had instanceof HTMLButtonElement && had.disabled) (turns.next.disabled ? turns.previous : turns.next).focus();
    place.textContent = rows.length ? `${n(first + 1)}–${n(first + rows.length)} of ${n(found)}` : "0";
    list.scrollTop = 0;
    goTo(inBody ? at.row : 0, inBody ? at.mark : 0, inBody);
    if (order) /** @type {HTMLElement | null} */ (head.querySelector(`[data-order="${order}"]`))?.focus();
    showChosen();
  }

  function showChosen() {
    const { group, id, marks = [], more = 0, ...its } = model.get("chosen");
    const { html, b } = model.get("compared");
    const inStrip = strip.contains(document.activeElement);
    opened.hidden = id === undefined;
    heads.textContent = heads.title = [its.prompt, its.origin].filter(Boolean).join(" · ");
    strip.replaceChildren(...marks.map((mark, place_) => markButton(mark, group ?? 0, place_)), ...(more ? [h("span", { className: "trt-place" }, `+ ${n(more)}`)] : []));
    form.root.classList.toggle("trt-comparing", html !== undefined);
    pairing.hidden = html !== undefined;
    back.hidden = html === undefined;
    reading.hidden = html !== undefined;
    if (compared.hidden === (html !== undefined) || compared.dataset.pair !== `${id} ${b}`) {
      compared.hidden = html === undefined;
      compared.dataset.pair = `${id} ${b}`;
      // Made by the package's own templates, which escape every text of a trace.
      compared.replaceChildren();
      compared.insertAdjacentHTML("beforeend", html ?? "");
      compared.scrollTop = 0;
    }
    /** @type {NodeListOf<HTMLElement>} */
    const all = form.root.querySelectorAll(".trt-mark[data-id]");
    for (const one of all) {
      const is = one.dataset.id === id ? "true" : html !== undefined && one.dataset.id === b ? "b" : null;
      one.classList.toggle("trt-is-open", is === "true");
      one.classList.toggle("trt-is-b", is === "b");
      if (is) one.setAttribute("aria-current", "true");
      else one.removeAttribute("aria-current");
    }
    for (const row of [...body.rows]) row.setAttribute("aria-selected", String(row.dataset.group === String(group)));
    /** @type {NodeListOf<HTMLElement>} */
    const cells = body.querySelectorAll(".trt-cell");
    for (const one of cells) one.classList.toggle("trt-is-open", one.dataset.group === String(group));
    const now = /** @type {HTMLElement | null} */ (strip.querySelector(".trt-is-open") ?? strip.querySelector("button"));
    if (now) now.tabIndex = 0;
    if (inStrip) now?.focus();
  }

  for (const name of ["view", "level", "policy", "least", "most", "overview"]) form.on(`change:${name}`, showControls);
  form.on("change:shown", showRows);
  form.on("change:chosen", showChosen);
  form.on("change:compared", showChosen);
  showControls();
  showRows();
  return { close: () => [reader, form].forEach((view) => view.close()) };
}
