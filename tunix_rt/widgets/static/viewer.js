// One trace: read as plain text, as Markdown with mathematics, or as JSON; searched, folded and copied.

const MOST_FOUND = 1000; // places that a search within shows; more of them than anyone walks through
const LINES_A_BLOCK = 200; // lines of JSON laid out together, and only when they come into sight

/** The sign of a highlight is painted by the browser itself: the text is not touched. */
const highlights = window.CSS?.highlights;

function viewer({ model, el }) {
  const form = open(model, el, { label: "Trace" });

  const readAs = {};
  const views = h("div", { className: "trt-choice", role: "radiogroup", "aria-label": "Show as" },
    [["plain", "Plain"], ["markdown", "Markdown"], ["json", "JSON"]].map(([value, label]) => {
      readAs[value] = h("input", { type: "radio", name: `trt-view-${form.me}`, value, onchange: () => form.ask("read_as", { view: value }) });
      return h("label", {}, readAs[value], h("span", {}, label));
    }));
  readAs.markdown.parentElement.title = "Markdown and mathematics, rendered safely";

  const find = h("input", { type: "search", className: "trt-find", placeholder: "Find in trace", "aria-label": "Find in this trace" });
  const found = h("span", { className: "trt-place", role: "status" });
  const toFound = [
    button("↑", () => step(-1), { className: "trt-icon", title: "Previous place (Shift+Enter)", "aria-label": "Previous place" }),
    button("↓", () => step(1), { className: "trt-icon", title: "Next place (Enter)", "aria-label": "Next place" }),
  ];
  const folds = [
    button("Expand", () => fold(true), { title: "Expand all steps" }),
    button("Collapse", () => fold(false), { title: "Collapse all steps" }),
  ];
  const moves = [
    button("‹", () => form.ask("move", { by: -1 }), { className: "trt-icon", title: "Newer: the trace above this one in the list", "aria-label": "Newer trace" }),
    button("›", () => form.ask("move", { by: 1 }), { className: "trt-icon", title: "Older: the trace below this one in the list", "aria-label": "Older trace" }),
  ];
  const copies = h("details", { className: "trt-menu" },
    h("summary", { className: "trt-button" }, "Copy"),
    h("div", { className: "trt-menu-items" },
      [["id", "Id"], ["prompt", "Prompt"], ["steps", "Steps"], ["answer", "Answer"], ["json", "JSON"]].map(([part, label]) =>
        button(label, async (event) => {
          const self = event.currentTarget;
          await copyPart(part, self);
          copies.open = false;
          copies.firstChild.focus();
        }))));
  copies.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    copies.open = false;
    copies.firstChild.focus();
  });
  copies.addEventListener("focusout", (event) => {
    if (!copies.contains(event.relatedTarget)) copies.open = false;
  });
  const says = h("span", { className: "trt-says", role: "status" });

  const toolbar = h("div", { className: "trt-toolbar", role: "toolbar", "aria-label": "This trace" },
    moves, views, folds, copies, h("span", { className: "trt-finding" }, find, found, toFound), says);
  const page = h("div", { className: "trt-scrolled trt-reading", tabIndex: 0, role: "region", "aria-label": "The trace" });
  form.root.append(toolbar, page);

  let fading;
  function say(text) {
    says.textContent = text;
    clearTimeout(fading);
    fading = setTimeout(() => { says.textContent = ""; }, 2500);
  }

  async function copyPart(part) {
    const { text, failed } = await form.ask("text_of", { part });
    if (failed) return;
    try {
      await copy(text);
      form.tell("");
      say(`Copied ${count(text.length, "character")}`);
    } catch (error) {
      form.tell(`Not copied: ${error.message}`);
    }
  }

  function fold(open) {
    for (const details of page.querySelectorAll("details:not(.trt-meta)")) details.open = open;
  }

  function show() {
    const shown = model.get("shown");
    const { id, html, json, empty } = shown;
    page.replaceChildren();
    const none = !id && !html && !json;
    toolbar.classList.toggle("trt-idle", none);
    for (const control of toolbar.querySelectorAll("button, input")) control.disabled = none;
    copies.hidden = none;
    for (const [value, input] of Object.entries(readAs)) input.checked = value === model.get("view");
    for (const one of folds) one.hidden = json !== undefined && json !== null;
    for (const one of moves) one.hidden = !model.get("can_move");
    if (none) page.append(h("div", { className: "trt-nothing" }, h("p", {}, empty ?? "")));
    else if (json) page.append(lines(json));
    // Made by the package's own templates, which escape every text of a trace.
    else page.insertAdjacentHTML("beforeend", html);
    page.querySelectorAll("details.trt-step").forEach((details, at) => { details.dataset.at = at; });
    typeset(page);
    page.scrollTop = 0;
    search();
  }

  /** The open step under the pointer or with the focus has a button that copies it as it is stored. */
  function offerCopy({ target }) {
    const details = target.closest("details.trt-step");
    if (!details?.open || details.querySelector(":scope > .trt-copy")) return;
    details.firstElementChild.after(
      button("Copy", () => copyPart(`steps.${details.dataset.at}`), { className: "trt-copy", "aria-label": "Copy this step" }));
  }
  for (const type of ["pointerover", "focusin"]) page.addEventListener(type, offerCopy);

  function lines(json) {
    const all = json.split("\n");
    const pre = h("div", { className: "trt-json", dir: "ltr" });
    for (let at = 0; at < all.length; at += LINES_A_BLOCK) {
      pre.append(h("pre", {}, all.slice(at, at + LINES_A_BLOCK).join("\n")));
    }
    return pre;
  }

  /** Mathematics is set by the notebook's own MathJax, where the host lends it; elsewhere the TeX stays. */
  function typeset(node) {
    const typesetter = model.widget_manager?._rendermime?.latexTypesetter;
    if (typesetter && node.querySelector(".mathjax_process")) typesetter.typeset(node);
  }

  // Searching within: ranges over the text that is there, painted by the browser.
  let places = [];
  let here = -1;

  function search() {
    places = [];
    here = -1;
    const wanted = find.value;
    if (wanted) {
      const pattern = new RegExp(wanted.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), "giu");
      const walk = document.createTreeWalker(page, NodeFilter.SHOW_TEXT);
      for (let node = walk.nextNode(); node && places.length < MOST_FOUND; node = walk.nextNode()) {
        // The beginning of a closed step stands in its content again.
        if (node.parentElement.closest(".trt-copy, .trt-peek, style, mjx-container")) continue;
        for (const match of node.data.matchAll(pattern)) {
          const range = new StaticRange({ startContainer: node, startOffset: match.index, endContainer: node, endOffset: match.index + match[0].length });
          if (places.push(range) >= MOST_FOUND) break;
        }
      }
    }
    paint();
    if (places.length) step(1);
    else found.textContent = wanted ? "not found" : "";
    for (const one of toFound) one.hidden = places.length < 2;
  }

  function step(by) {
    if (!places.length) return;
    here = (here + by + places.length) % places.length;
    const range = places[here];
    const parent = range.startContainer.parentElement;
    for (let around = parent.closest("details"); around; around = around.parentElement.closest("details")) {
      if (!range.startContainer.parentElement.closest("summary") || around !== parent.closest("details")) around.open = true;
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

  let typing;
  find.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(search, 150);
  });
  find.addEventListener("keydown", (event) => {
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
