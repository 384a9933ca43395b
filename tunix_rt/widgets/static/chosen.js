// The chosen rows of a list: by boxes, Shift and Ctrl with the mouse, Shift and the arrows; and the bar of actions on them.

/**
 * @typedef {object} ChosenTraits
 * @property {string[]} chosen_ids
 * @property {string[]} formats the formats of exports
 * @property {string} said what the last action did
 * @property {boolean} can_undo
 * @property {string} compared a comparison as HTML, or ""
 */

/**
 * @typedef {object} ChosenActions
 * @property {(args: {ids: string[]}) => object} choose_rows
 * @property {() => object} delete_chosen
 * @property {() => object} undo_delete
 * @property {(args: {word: string}) => object} label_chosen
 * @property {(args: {path: string, format: string, replace: boolean}) => object} export_chosen
 * @property {() => object} compare_chosen
 * @property {() => object} close_comparison
 * @property {() => object} hush
 * @property {() => object} choose_found
 */

const LABEL_WORDS = ["good", "bad", "unsure"];
const MOST_CHOSEN = 10_000;

/**
 * The list that the rows are in: its rows now, and how the focus goes to one.
 * @typedef {object} ChosenList
 * @property {HTMLElement} body
 * @property {() => HTMLTableRowElement[]} rows
 * @property {() => HTMLTableRowElement | undefined} current the row that Tab reaches
 * @property {(at: number) => void} focus
 * @property {(by: number) => Promise<void>} turn to the row on the next page, or the one before
 */

/**
 * What chooses the rows, and its bar; `click` and `key` say whether an event was theirs.
 * @param {Model<any>} model
 * @param {View<any>} form
 * @param {ChosenList} list
 */
function chosenRows(model, form, list) {
  let chosen = new Set(model.get("chosen_ids"));
  // A range goes from the anchor, and is added to what was chosen before it.
  let anchor = "";
  let before = chosen;

  /** @param {HTMLTableRowElement} row */
  const idOf = (row) => row.dataset.id ?? "";

  /** @param {keyof ChosenActions} action @param {object} [args] */
  async function act(action, args = {}) {
    await sent;
    return form.ask(action, args);
  }

  /** @param {Iterable<string>} ids */
  function set(ids) {
    chosen = new Set(ids);
    show();
    if (!sending) sent = send();
  }

  // Of many changes in a row (a held arrow key) only the last is sent.
  let sending = false;
  let sent = Promise.resolve();
  async function send() {
    sending = true;
    for (let last; last !== chosen; ) {
      last = chosen;
      await form.ask("choose_rows", { ids: [...chosen] });
    }
    sending = false;
    take();
  }

  function take() {
    if (sending) return;
    chosen = new Set(model.get("chosen_ids"));
    show();
  }

  /** @param {string} id @param {Iterable<string>} [base] */
  function setAnchor(id, base = chosen) {
    anchor = id;
    before = new Set(base);
  }

  /** @param {HTMLTableRowElement} row */
  function toggle(row) {
    const id = idOf(row);
    set(chosen.has(id) ? [...chosen].filter((one) => one !== id) : [...chosen, id]);
    setAnchor(id);
  }

  /** @param {HTMLTableRowElement} row */
  function chooseTo(row) {
    const all = list.rows();
    let from = all.findIndex((one) => idOf(one) === anchor);
    if (from < 0) {
      from = all.indexOf(list.current() ?? row);
      const start = all[from];
      if (start) setAnchor(idOf(start));
    }
    const to = all.indexOf(row);
    set([...before, ...all.slice(Math.min(from, to), Math.max(from, to) + 1).map(idOf)]);
  }

  /** @param {HTMLTableRowElement} row @param {number} by */
  async function extend(row, by) {
    if (!list.rows().some((one) => idOf(one) === anchor)) setAnchor(idOf(row));
    const next = list.rows()[list.rows().indexOf(row) + by];
    if (next) {
      chooseTo(next);
      list.focus(list.rows().indexOf(next));
      return;
    }
    chooseTo(row);
    await list.turn(by);
    const now = list.current();
    if (!now || idOf(now) === idOf(row)) return;
    setAnchor(idOf(now));
    chooseTo(now);
  }

  /** All rows of the page, or none of them where all are chosen. */
  function choosePage() {
    const ids = list.rows().map(idOf);
    set(ids.every((id) => chosen.has(id)) ? [...chosen].filter((id) => !ids.includes(id)) : [...chosen, ...ids]);
    anchor = "";
  }

  function empty() {
    set([]);
    anchor = "";
  }

  /** @param {MouseEvent} event @param {HTMLTableRowElement} row */
  function click(event, row) {
    if (event.shiftKey) chooseTo(row);
    else if (targetOf(event).closest(".trt-c-choose") || event.ctrlKey || event.metaKey) toggle(row);
    else {
      setAnchor(idOf(row));
      return false;
    }
    row.focus();
    return true;
  }

  /** @param {KeyboardEvent} event @param {HTMLTableRowElement} row */
  function key(event, row) {
    const command = event.ctrlKey || event.metaKey;
    const shift = event.shiftKey && !command;
    if (event.altKey) return false;
    if (command && event.key === "a") choosePageOnly();
    else if (command && event.key === "z" && !event.shiftKey && model.get("can_undo")) undo();
    else if (command) return false;
    else if (event.key === " " && !shift) toggle(row);
    else if (event.key === "Delete" && chosen.size) remove();
    else if (event.key === "Escape" && chosen.size) empty();
    else if (shift && event.key === "ArrowDown") extend(row, 1);
    else if (shift && event.key === "ArrowUp") extend(row, -1);
    else return false;
    return true;
  }

  function choosePageOnly() {
    set([...chosen, ...list.rows().map(idOf)]);
    anchor = "";
  }

  /** @param {() => Promise<unknown>} change what takes rows away, and the focus with them */
  async function keepingFocus(change) {
    const had = document.activeElement;
    const inside = list.body.contains(had) || bar.contains(had);
    const at = list.rows().findIndex((row) => row.tabIndex === 0);
    await change();
    if (inside && !(document.activeElement instanceof HTMLButtonElement && document.activeElement.offsetParent))
      (list.rows()[Math.min(Math.max(at, 0), list.rows().length - 1)] ?? undoer).focus();
  }
  const remove = () => keepingFocus(() => act("delete_chosen"));
  const undo = () => keepingFocus(() => act("undo_delete"));

  // The bar.
  const n_chosen = h("span", { role: "status" });
  const others = button("", () => act("choose_found"), { className: "trt-quietly", title: "Chooses all that pass the search and the filters, on all pages" });
  const word = h("input", { "aria-label": "Label", placeholder: "good, bad, …", list: `trt-words-${form.me}` });
  const path = h("input", { "aria-label": "File", placeholder: "chosen.jsonl", className: "trt-path" });
  const kind = h("select", { "aria-label": "Format" },
    h("option", { value: "" }, "by the ending"), model.get("formats").map((/** @type {string} */ one) => h("option", { value: one }, one)));
  const replace = h("input", { type: "checkbox" });
  const senders = {
    label: button("Label them", () => answer(act("label_chosen", { word: word.value }))),
    export: button("Export them", () => answer(act("export_chosen", { path: path.value, format: kind.value, replace: replace.checked }))),
  };
  const labelling = h("div", { className: "trt-row", role: "group", hidden: true, "aria-label": "Label the chosen traces" },
    field("Label", word, "trt-inline"), h("datalist", { id: `trt-words-${form.me}` }, LABEL_WORDS.map((value) => h("option", { value }))), senders.label);
  const exporting = h("div", { className: "trt-row", role: "group", hidden: true, "aria-label": "Export the chosen traces" },
    field("File", path, "trt-inline"), field("Format", kind, "trt-inline"),
    h("label", { className: "trt-check" }, replace, "replace it"), senders.export);
  const asking = [labelling, exporting];

  /**
   * A button that unfolds one of the questions.
   * @param {string} label @param {HTMLElement} question @param {HTMLInputElement} first
   */
  function unfolder(label, question, first) {
    question.id = `trt-ask-${label}-${form.me}`;
    return button(label, () => {
      const shows = question.hidden;
      fold();
      question.hidden = !shows;
      unfolders.forEach((one) => one.setAttribute("aria-expanded", String(shows && one.getAttribute("aria-controls") === question.id)));
      if (shows) first.focus();
    }, { "aria-expanded": "false", "aria-controls": question.id });
  }
  function fold() {
    asking.forEach((one) => (one.hidden = true));
    unfolders.forEach((one) => one.setAttribute("aria-expanded", "false"));
  }
  const unfolders = [unfolder("Label", labelling, word), unfolder("Export", exporting, path)];
  /** @param {Promise<Reply<object>>} reply */
  async function answer(reply) {
    if ((await reply).failed) return;
    fold();
    list.current()?.focus();
  }
  for (const [question, sender] of /** @type {const} */ ([[labelling, senders.label], [exporting, senders.export]]))
    question.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && targetOf(event) instanceof HTMLInputElement) sender.click();
      else if (event.key === "Escape") {
        fold();
        list.current()?.focus();
      } else return;
      event.preventDefault();
      event.stopPropagation();
    });

  const compare = button("Compare", () => act("compare_chosen"));
  const copier = button("Copy ids", async () => {
    await copy([...chosen].join("\n"));
    copier.textContent = "Copied";
    setTimeout(() => (copier.textContent = "Copy ids"), 1500);
  });
  const actions = h("div", { className: "trt-row", role: "group", "aria-label": "Actions on the chosen traces" },
    button("Delete", remove, { title: "Deletes them with their scores; this can be undone (Delete)" }), unfolders, copier, compare);
  const none = button("none", () => { empty(); list.current()?.focus(); }, { className: "trt-quietly", title: "Chooses none (Escape)", "aria-label": "Choose none" });
  const what = h("span", { role: "status", className: "trt-what" });
  const undoer = button("Undo", undo, { title: "Puts the deleted traces back, with their scores (Ctrl+Z)" });
  const hush = button("×", () => form.ask("hush"), { className: "trt-icon trt-quietly", "aria-label": "Dismiss", title: "Dismiss" });
  const bar = h("div", { className: "trt-chosen" },
    h("div", { className: "trt-row" }, h("div", { className: "trt-row trt-how-many" }, n_chosen, others, none), actions), asking, h("div", { className: "trt-row trt-outcome" }, what, undoer, hush));

  // Two of them compared.
  const compared = h("div", { className: "trt-compared-here" });
  const comparison = h("section", { className: "trt-comparison", "aria-label": "Comparison", tabIndex: -1, hidden: true },
    h("div", { className: "trt-toolbar" }, button("Close the comparison", closeComparison)), h("div", { className: "trt-scrolled trt-reading", tabIndex: 0 }, compared));
  comparison.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    closeComparison();
  });
  async function closeComparison() {
    await form.ask("close_comparison");
    list.current()?.focus();
  }
  function showComparison() {
    const html = model.get("compared");
    compared.replaceChildren();
    // Made by the package, which escapes all text of traces.
    compared.insertAdjacentHTML("beforeend", html);
    comparison.hidden = !html;
    if (html) {
      typeset(model, compared);
      comparison.focus({ preventScroll: true });
    }
  }

  function show() {
    const rows = list.rows();
    const elsewhere = chosen.size - rows.filter((row) => chosen.has(idOf(row))).length;
    for (const row of rows) {
      const box = row.querySelector("input");
      const is = chosen.has(idOf(row));
      if (box) box.checked = is;
      row.classList.toggle("trt-is-chosen", is);
    }
    const all = list.body.parentElement?.querySelector("thead input");
    if (all instanceof HTMLInputElement) {
      all.checked = rows.length > 0 && elsewhere === chosen.size - rows.length;
      all.indeterminate = !all.checked && elsewhere < chosen.size;
      all.onclick = choosePage;
    }
    n_chosen.textContent = chosen.size ? `${n(chosen.size)} chosen${elsewhere ? `, ${n(elsewhere)} of them not on this page` : ""}` : "";
    actions.hidden = !chosen.size;
    if (!chosen.size) fold();
    const two = chosen.size === 2;
    compare.disabled = !two;
    compare.title = two ? "Shows them step by step" : "Choose exactly two traces to compare them";
    const found = model.get("n_found");
    others.hidden = !chosen.size || found <= chosen.size || found > MOST_CHOSEN;
    others.textContent = `all ${n(found)}`;
    none.hidden = !chosen.size;
    what.textContent = model.get("said");
    undoer.hidden = !model.get("can_undo");
    hush.hidden = !model.get("said");
    bar.classList.toggle("trt-is-empty", !chosen.size && !model.get("said"));
  }

  form.on("change:chosen_ids", take);
  for (const name of ["said", "can_undo", "n_found"]) form.on(`change:${name}`, show);
  form.on("change:compared", showComparison);
  list.body.addEventListener("mousedown", (event) => {
    // Otherwise Shift selects the text between.
    if (event.shiftKey) event.preventDefault();
  });
  return { bar, comparison, click, key, show, showComparison };
}
