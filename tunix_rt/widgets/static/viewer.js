// One trace: read as plain text, as Markdown with mathematics, or as JSON; searched, folded and copied.

const MOST_FOUND = 1000; // places that a search within shows; more of them than anyone walks through
const PEEK = 90; // characters of a closed step
const LINES_A_BLOCK = 200; // lines of JSON laid out together, and only when they come into sight

/** A highlight is painted by the browser itself: the text is not changed. */
const highlights = window.CSS?.highlights;

/**
 * @typedef {object} OwnViewerTraits
 * @property {ViewName} view
 * @property {boolean} can_move
 * @property {string} sought what is looked for in the list, to be marked here too
 * @property {{id?: string, html?: string, json?: string, empty?: string}} shown
 * @typedef {FormTraits & OwnViewerTraits} ViewerTraits
 */

/** @typedef {"plain" | "markdown" | "json"} ViewName */

/**
 * @typedef {object} ViewerActions
 * @property {(args: {view: ViewName}) => object} read_as
 * @property {(args: {by: number}) => object} move
 * @property {(args: {part: string}) => {text: string}} text_of
 */

/** @param {Context<ViewerTraits>} context */
function viewerForm({ model, el }) {
  /** @type {View<ViewerActions>} */
  const form = openView(model, el, { label: "Trace" });

  /** @param {ViewName} view */
  const choice = (view) => h("input", {
    type: "radio", name: `trt-view-${form.me}`, value: view, onchange: () => form.ask("read_as", { view }),
  });
  const readAs = { plain: choice("plain"), markdown: choice("markdown"), json: choice("json") };
  const views = h("div", { className: "trt-choice", role: "radiogroup", "aria-label": "Show as" },
    h("label", {}, readAs.plain, h("span", {}, "Plain")),
    h("label", { title: "Markdown and mathematics, rendered safely" }, readAs.markdown, h("span", {}, "Markdown")),
    h("label", {}, readAs.json, h("span", {}, "JSON")));

  const wanted = h("input", { type: "search", className: "trt-find", placeholder: "Find in trace", "aria-label": "Find in this trace" });
  const found = h("span", { className: "trt-place", role: "status" });
  const toFound = [
    button("↑", () => step(-1), { className: "trt-icon", title: "Previous match (Shift+Enter)", "aria-label": "Previous match" }),
    button("↓", () => step(1), { className: "trt-icon", title: "Next match (Enter)", "aria-label": "Next match" }),
  ];
  const folds = [
    button("Expand", () => fold(true), { title: "Expand all steps" }),
    button("Collapse", () => fold(false), { title: "Collapse all steps" }),
  ];
  const moves = [
    button("‹", () => form.ask("move", { by: -1 }), { className: "trt-icon", title: "Newer: the trace above this one in the list", "aria-label": "Newer trace" }),
    button("›", () => form.ask("move", { by: 1 }), { className: "trt-icon", title: "Older: the trace below this one in the list", "aria-label": "Older trace" }),
  ];
  /** @param {string} part @param {string} label */
  const copier = (part, label) => button(label, async () => {
    await copyPart(part);
    closeCopies();
  });
  const copiesLabel = h("summary", { className: "trt-button" }, "Copy");
  const copies = h("details", { className: "trt-menu" }, copiesLabel, h("div", { className: "trt-menu-items" },
    copier("id", "Id"), copier("prompt", "Prompt"), copier("steps", "Steps"), copier("answer", "Answer"), copier("json", "JSON")));
  function closeCopies() {
    copies.open = false;
    copiesLabel.focus();
  }
  copies.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    closeCopies();
  });
  copies.addEventListener("focusout", (event) => {
    if (!copies.contains(/** @type {Node | null} */ (event.relatedTarget))) copies.open = false;
  });
  const says = h("span", { className: "trt-says", role: "status" });

  const tools = h("div", { className: "trt-toolbar", role: "toolbar", "aria-label": "This trace" },
    moves, views, folds, copies, h("span", { className: "trt-finding" }, wanted, found, toFound), says);
  const page = h("div", { className: "trt-scrolled trt-reading", tabIndex: 0, role: "region", "aria-label": "The trace" });
  form.root.append(tools, page);

  /** @type {number | undefined} */
  let fading;
  /** @param {string} text */
  function say(text) {
    says.textContent = text;
    clearTimeout(fading);
    fading = setTimeout(() => { says.textContent = ""; }, 2500);
  }

  /** @param {string} part */
  async function copyPart(part) {
    const { text, failed } = await form.ask("text_of", { part });
    if (failed) return;
    try {
      await copy(text);
      form.tell("");
      say(`Copied ${count(text.length, "character")}`);
    } catch (error) {
      form.tell(`Not copied: ${messageOf(error)}`);
    }
  }

  /** @param {boolean} unfolded */
  function fold(unfolded) {
    /** @type {NodeListOf<HTMLDetailsElement>} */
    const all = page.querySelectorAll("details:not(.trt-meta)");
    for (const details of all) details.open = unfolded;
  }

  function show() {
    const shown = model.get("shown");
    const { id, html, json, empty } = shown;
    page.replaceChildren();
    const none = !id && !html && !json;
    tools.classList.toggle("trt-idle", none);
    /** @type {NodeListOf<HTMLButtonElement | HTMLInputElement>} */
    const controls = tools.querySelectorAll("button, input");
    for (const control of controls) control.disabled = none;
    copies.hidden = none;
    for (const [value, input] of Object.entries(readAs)) input.checked = value === model.get("view");
    for (const one of folds) one.hidden = json !== undefined && json !== null;
    for (const one of moves) one.hidden = !model.get("can_move");
    if (none) page.append(h("div", { className: "trt-nothing" }, h("p", {}, empty ?? "")));
    else if (json) page.append(lines(json));
    // Made by the package's own templates, which escape every text of a trace.
    else page.insertAdjacentHTML("beforeend", html ?? "");
    steps().forEach((details, at) => {
      details.dataset.at = String(at);
      // A step that is laid open at first has none: without a style it would stand beside its text.
      const summary = details.firstElementChild;
      if (summary && !summary.querySelector(".trt-peek")) {
        summary.append(h("bdi", { className: "trt-peek", "aria-hidden": "true" }, startOf(details)));
      }
    });
    typeset(model, page);
    page.scrollTop = 0;
    search();
  }

  /**
   * The open step under the pointer or with the focus has a button that copies it as it is stored.
   * @param {Event} event
   */
  function offerCopy(event) {
    /** @type {HTMLDetailsElement | null} */
    const details = targetOf(event).closest("details.trt-step");
    if (!details?.open || details.querySelector(":scope > .trt-copy")) return;
    details.firstElementChild?.after(
      // A step is one stop of the Tab key; its text is copied by a key.
      button("Copy", () => copyPart(`steps.${details.dataset.at}`), { className: "trt-copy", "aria-label": "Copy this step", tabIndex: -1, title: "Copy this step (c)" }));
  }
  for (const type of ["pointerover", "focusin"]) page.addEventListener(type, offerCopy);

  function steps() {
    /** @type {NodeListOf<HTMLDetailsElement>} */
    const all = page.querySelectorAll("details.trt-step");
    return [...all];
  }

  /**
   * The first words of a step, on one line.
   * @param {HTMLDetailsElement} details
   */
  function startOf(details) {
    const walk = document.createTreeWalker(details, NodeFilter.SHOW_TEXT);
    let start = "";
    while (start.length < 4 * PEEK && walk.nextNode()) {
      const node = /** @type {Text} */ (walk.currentNode);
      if (!node.parentElement?.closest("summary")) start += ` ${node.data.slice(0, 4 * PEEK)}`;
    }
    return start.replace(/\s+/g, " ").trim().slice(0, PEEK);
  }

  /**
   * To the next step, or the previous one; in a fold, that is opened.
   * @param {number} by
   */
  function goTo(by) {
    const all = steps();
    const at = all.findIndex((details) => details.contains(document.activeElement));
    const to = all[at < 0 ? (by > 0 ? 0 : all.length - 1) : at + by];
    for (let around = to?.parentElement?.closest("details"); around; around = around.parentElement?.closest("details")) around.open = true;
    const summary = to?.querySelector("summary");
    summary?.focus({ preventScroll: true });
    if (!to || !summary) return;
    const [seen, box] = [summary.getBoundingClientRect(), page.getBoundingClientRect()];
    if (seen.top < box.top || seen.bottom > box.bottom - 60) page.scrollTop += seen.top - box.top - 20;
  }

  function copyFocused() {
    const at = steps().find((details) => details.contains(document.activeElement))?.dataset.at;
    if (at !== undefined) void copyPart(`steps.${at}`);
  }

  /** @type {[key: string, what: string, act: () => unknown][]} */
  const keys = [
    ["n", "next step", () => goTo(1)],
    ["p", "previous step", () => goTo(-1)],
    ["Enter", "open or close the step", () => undefined],
    ["o", "open all steps", () => fold(true)],
    ["s", "shut all steps", () => fold(false)],
    ["c", "copy the step", copyFocused],
    ["v", "plain, Markdown or JSON", () => {
      /** @type {ViewName[]} */
      const names = ["plain", "markdown", "json"];
      return form.ask("read_as", { view: /** @type {ViewName} */ (names[(names.indexOf(model.get("view")) + 1) % names.length]) });
    }],
    ["/", "find in the trace", () => wanted.focus()],
    ["?", "show or hide these keys", () => tellKeys()],
  ];
  const help = h("dl", { className: "trt-keys", hidden: true, "aria-label": "Keys" },
    keys.map(([key, what]) => h("div", {}, h("dt", {}, h("kbd", {}, key)), h("dd", {}, what))));
  function tellKeys() {
    help.hidden = !help.hidden;
    toKeys.setAttribute("aria-expanded", String(!help.hidden));
  }
  const toKeys = button("?", tellKeys, { className: "trt-icon", title: "Keys", "aria-label": "Keys", "aria-expanded": "false" });
  copies.after(toKeys);
  tools.after(help);
  page.addEventListener("keydown", (event) => {
    const act = keys.find(([key]) => key === event.key && key !== "Enter")?.[2];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    void act();
  });

  /** @param {string} json */
  function lines(json) {
    const all = json.split("\n");
    const pre = h("div", { className: "trt-json", dir: "ltr" });
    for (let at = 0; at < all.length; at += LINES_A_BLOCK) {
      pre.append(h("pre", {}, all.slice(at, at + LINES_A_BLOCK).join("\n")));
    }
    return pre;
  }

  // Searching within: ranges over the text that is there, painted by the browser.
  /** @type {StaticRange[]} */
  let places = [];
  let here = -1;

  function search() {
    places = [];
    here = -1;
    const sought = wanted.value;
    if (sought) {
      const pattern = new RegExp(sought.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), "giu");
      const walk = document.createTreeWalker(page, NodeFilter.SHOW_TEXT);
      while (places.length < MOST_FOUND && walk.nextNode()) {
        const node = /** @type {Text} */ (walk.currentNode);
        // The preview of a closed step is part of its content too.
        if (node.parentElement?.closest(".trt-copy, .trt-peek, style, mjx-container")) continue;
        for (const match of node.data.matchAll(pattern)) {
          const range = new StaticRange({ startContainer: node, startOffset: match.index, endContainer: node, endOffset: match.index + match[0].length });
          if (places.push(range) >= MOST_FOUND) break;
        }
      }
    }
    paint();
    if (places.length) step(1);
    else found.textContent = sought ? "not found" : "";
    for (const one of toFound) one.hidden = places.length < 2;
  }

  /** @param {number} by */
  function step(by) {
    if (!places.length) return;
    here = (here + by + places.length) % places.length;
    const range = /** @type {StaticRange} */ (places[here]);
    const holder = range.startContainer.parentElement;
    // What is in a step's summary can be seen without opening that step.
    const shownIn = holder?.closest("summary") ? holder.closest("details") : null;
    for (let around = holder?.closest("details"); around; around = around.parentElement?.closest("details")) {
      if (around !== shownIn) around.open = true;
    }
    const live = document.createRange();
    live.setStart(range.startContainer, range.startOffset);
    live.setEnd(range.endContainer, range.endOffset);
    const at = live.getBoundingClientRect();
    const box = page.getBoundingClientRect();
    if (at.top < box.top + 20 || at.bottom > box.bottom - 20) page.scrollTop += at.top - box.top - box.height / 3;
    found.textContent = `${here + 1} of ${n(places.length)}${places.length === MOST_FOUND ? "+" : ""}`;
    paint();
  }

  // One highlight of each name for the document: the form that was searched last has it.
  function paint() {
    if (!highlights) return;
    highlights.set("trt-found", new Highlight(...places));
    highlights.set("trt-here", new Highlight(...places.slice(here, here + 1).filter(() => here >= 0)));
  }

  /** @type {number | undefined} */
  let typing;
  wanted.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(search, 150);
  });
  wanted.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    step(event.shiftKey ? -1 : 1);
  });

  function seek() {
    wanted.value = model.get("sought");
    search();
  }

  for (const name of ["shown", "can_move"]) form.on(`change:${name}`, show);
  form.on("change:sought", seek);
  wanted.value = model.get("sought");
  show();
  form.onClose(() => {
    clearTimeout(typing);
    clearTimeout(fading);
    highlights?.delete("trt-found");
    highlights?.delete("trt-here");
  });
  return { close: form.close, ask: form.ask };
}
