// One trace: read as plain text, as Markdown with mathematics, or as JSON; searched, folded and copied.

const MOST_FOUND = 1000; // places that a search within shows; more of them than anyone walks through
const LINES_A_BLOCK = 200; // lines of JSON laid out together, and only when they come into sight

/** A highlight is painted by the browser itself: the text is not changed. */
const highlights = window.CSS?.highlights;

/**
 * @typedef {object} OwnViewerTraits
 * @property {ViewName} view
 * @property {boolean} can_move
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
    page.querySelectorAll("details.trt-step").forEach((details, at) => { details.setAttribute("data-at", String(at)); });
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
      button("Copy", () => copyPart(`steps.${details.dataset.at}`), { className: "trt-copy", "aria-label": "Copy this step" }));
  }
  for (const type of ["pointerover", "focusin"]) page.addEventListener(type, offerCopy);

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

  for (const name of ["shown", "can_move"]) form.on(`change:${name}`, show);
  show();
  form.onClose(() => {
    clearTimeout(typing);
    clearTimeout(fading);
    highlights?.delete("trt-found");
    highlights?.delete("trt-here");
  });
  return { close: form.close, ask: form.ask };
}
