// A queue of traces, labelled one after another: the verdicts with their keys, the trace, and where in the queue it is.

const SLOW_MS = 1000; // until the form says that it waits for the store
const FIRST_ERROR = "first error";

/**
 * A verdict that can be given.
 * @typedef {object} LabelChoice
 * @property {string} word as it is stored
 * @property {string} text as it is shown
 * @property {string[]} keys its number, and its letter if it has one
 */

/**
 * @typedef {object} OwnLabelTraits
 * @property {LabelChoice[]} choices
 * @property {string} annotator
 * @property {"plain" | "markdown"} view
 * @property {{id: string, html?: string, empty?: string, view: string}} shown
 * @property {LabelProgress} progress
 * @typedef {FormTraits & OwnLabelTraits} LabelTraits
 */

/**
 * Where in the queue it is, and what was said.
 * @typedef {object} LabelProgress
 * @property {string} queue its name, or nothing
 * @property {number} position of the trace that is shown, from 0
 * @property {number} n_traces
 * @property {number} n_labelled
 * @property {number} n_deleted
 * @property {{text: string, n: number}[]} counts
 * @property {string | null} word the label of the trace that is shown
 * @property {string} text the same, as it is shown
 * @property {string} note its note
 * @property {{at: number, text: string, note: string}[]} steps the labels of its steps
 * @property {string} notice
 * @property {boolean} can_undo
 */

/**
 * @typedef {object} LabelActions
 * @property {(args: {id: string, word: string | null, step: number | null, note: string}) => object} label
 * @property {(args: {id: string, step: number}) => object} first_error
 * @property {(args: {id: string, note: string}) => object} annotate
 * @property {() => object} undo
 * @property {(args: {by: number}) => object} move
 * @property {(args: {view: string}) => object} read_as
 */

/** @param {Context<LabelTraits>} context */
function labelForm({ model, el }) {
  /** @type {View<LabelActions>} */
  const form = openView(model, el, { label: "Label traces" });
  const choices = model.get("choices");
  /** Notes that were typed and not stored yet, by the id of their trace. @type {Map<string, string>} */
  const drafts = new Map();
  /** The step that had the focus last. @type {HTMLDetailsElement | null} */
  let step = null;
  let shownId = "";
  /** @type {Promise<unknown>} */
  let before = Promise.resolve();
  let nWaiting = 0;

  /** @param {string[]} signs */
  const marks = (signs) => signs.map((sign) => h("kbd", { "aria-hidden": "true" }, sign));
  /** @param {string[]} by @param {string} label @param {(event: MouseEvent) => unknown} press @param {Properties} [properties] */
  const keyed = (by, label, press, properties = {}) => {
    const { className = "", ...rest } = properties;
    return h("button", { type: "button", className: `trt-button ${className}`, "aria-keyshortcuts": by.join(" "), onclick: press, ...rest }, marks(by), label);
  };

  const verdicts = choices.map(({ text, keys: by }, at) => keyed(by, text, (event) => say(at, event.shiftKey), {
    className: "trt-verdict", "aria-pressed": "false",
    title: `Label the trace “${text}” (${by.join(" or ")}); the marked step with Shift and ${by[0]}`,
  }));
  const clearer = keyed(["0"], "Clear", (event) => say(-1, event.shiftKey), {
    className: "trt-quietly", title: "Take the label of the trace back (0); that of the marked step with Shift and 0",
  });
  const error = keyed(["e"], "First error", () => firstError(), {
    title: "The marked step is the first that is wrong (e). Tab, n and p lead to the steps.",
  });
  const undoer = keyed(["u"], "Undo", () => act("undo"), { title: "Undo the last label (u or Ctrl+Z)" });
  const note = h("textarea", {
    className: "trt-note", rows: 1, maxLength: 2000, placeholder: "Note (w), stored with the verdict", "aria-label": "Note", dir: "auto",
  });
  const place = h("span", { className: "trt-place" });
  const bar = h("progress", { "aria-label": "Labelled", max: 1, value: 0 });
  const tally = h("span", { className: "trt-place trt-tally", dir: "auto" });
  const says = h("span", { className: "trt-says", role: "status" });
  const viewer = keyed(["v"], "Markdown", () => toggleView(), { className: "trt-quietly", title: "Show as Markdown, with mathematics, or as plain text (v)" });
  const head = h("div", { className: "trt-toolbar", role: "toolbar", "aria-label": "The queue" },
    keyed(["k"], "‹", () => act("move", { by: -1 }), { title: "Previous trace (k)", "aria-label": "Previous trace" }),
    keyed(["j"], "›", () => act("move", { by: 1 }), { title: "Next trace (j)", "aria-label": "Next trace" }),
    viewer, place, bar, tally, says);
  const tools = h("div", { className: "trt-toolbar trt-verdicts", role: "toolbar", "aria-label": "Verdict" }, verdicts, error, clearer, undoer, note);
  const page = h("div", { className: "trt-scrolled trt-reading", tabIndex: 0, role: "region", "aria-label": "The trace" });
  const hints = h("div", { className: "trt-hints" },
    [["j k", "next, previous trace"], ["n p", "next, previous step"], ["o", "open or close all steps"], ["Shift 1", "label the step"], ["w", "write a note"]]
      .map(([by, what]) => h("span", {}, marks((by ?? "").split(" ")), ` ${what}`)));
  form.root.classList.add("trt-labelling");
  form.root.append(head, tools, page, hints);

  /**
   * Requests an action after those before it. What is said of a trace that is no longer shown is left out: a key that was
   * pressed twice by mistake labels nothing that was not read.
   * @template {keyof LabelActions} K
   * @param {K} action
   * @param {Parameters<LabelActions[K]>} args
   */
  function act(action, ...args) {
    const its = args[0] && "id" in args[0] ? args[0].id : null;
    nWaiting += 1;
    const done = before.then(async () => {
      if (its !== null && its !== shownId) return { failed: true };
      const slow = setTimeout(() => { says.textContent = "Waiting for the store …"; }, SLOW_MS);
      const reply = await form.ask(action, ...args);
      clearTimeout(slow);
      says.textContent = model.get("progress").notice;
      return reply;
    }).finally(() => { nWaiting -= 1; });
    before = done;
    return done;
  }

  const stepAt = () => (step?.isConnected ? Number(step.dataset.at) : null);

  /**
   * Gives the trace, or the marked step, the label with this number; −1 takes it back.
   * @param {number} at
   * @param {boolean} [ofStep]
   */
  async function say(at, ofStep = false) {
    const stepIndex = ofStep ? stepAt() : null;
    if (!shownId || (ofStep && stepIndex === null)) return;
    const [id, now] = [shownId, model.get("progress")];
    if (at < 0 && !ofStep && now.word === null) return;
    const its = stepIndex === null ? note.value : now.steps.find((one) => one.at === stepIndex)?.note ?? "";
    const { failed } = await act("label", { id, word: choices[at]?.word ?? null, step: stepIndex, note: its });
    if (!failed && !ofStep) drafts.delete(id);
  }

  function firstError() {
    const at = stepAt();
    if (shownId && at !== null) void act("first_error", { id: shownId, step: at });
  }

  function toggleView() {
    void act("read_as", { view: model.get("view") === "plain" ? "markdown" : "plain" });
  }

  const steps = () => /** @type {HTMLDetailsElement[]} */ ([...page.querySelectorAll("details.trt-step")]);

  /** @param {HTMLDetailsElement | null} to */
  function mark(to) {
    step?.classList.remove("trt-marked");
    step = to;
    step?.classList.add("trt-marked");
    enable(error, step !== null);
  }

  /**
   * Not by `disabled`: that would take the focus from a button that was just pressed, and the notebook would have the keys.
   * @param {HTMLElement} one
   * @param {boolean} usable
   */
  function enable(one, usable) {
    one.setAttribute("aria-disabled", String(!usable));
  }

  /** @param {number} by */
  function goTo(by) {
    const all = steps();
    const at = step ? all.indexOf(step) : -1;
    const to = all[at < 0 ? (by > 0 ? 0 : all.length - 1) : at + by];
    for (let around = to?.parentElement?.closest("details"); around; around = around.parentElement?.closest("details")) around.open = true;
    to?.querySelector("summary")?.focus();
  }

  function openAll() {
    const all = steps();
    const unfolded = !all.every((one) => one.open);
    /** @type {NodeListOf<HTMLDetailsElement>} */
    const folds = page.querySelectorAll("details.trt-step, details.trt-fold");
    for (const one of folds) one.open = unfolded;
  }

  for (const type of ["focusin", "click"]) {
    page.addEventListener(type, (event) => {
      const at = /** @type {HTMLDetailsElement | null} */ (targetOf(event).closest("details.trt-step"));
      if (at || targetOf(event) === page) mark(at);
    });
  }

  /** @type {{[key: string]: () => unknown}} */
  const keys = {
    e: firstError,
    j: () => act("move", { by: 1 }),
    k: () => act("move", { by: -1 }),
    n: () => goTo(1),
    p: () => goTo(-1),
    o: openAll,
    u: () => act("undo"),
    v: toggleView,
    w: () => note.focus(),
    0: () => say(-1),
    ...Object.fromEntries(choices.flatMap((choice, at) => choice.keys.map((key) => [key, () => say(at)]))),
  };

  form.root.addEventListener("keydown", (event) => {
    if (targetOf(event) === note) return;
    const isUndo = event.key.toLowerCase() === "z" && (event.ctrlKey || event.metaKey) && !event.shiftKey && !event.altKey;
    if (!isUndo && (event.ctrlKey || event.metaKey || event.altKey)) return;
    // By its place: with Shift a digit's key is another sign.
    const digit = /^Digit(\d)$/.exec(event.code)?.[1];
    const pressed = isUndo ? () => act("undo")
      : digit && event.shiftKey ? () => say(Number(digit) - 1, true)
        : keys[digit ?? event.key.toLowerCase()];
    if (!pressed) return;
    event.preventDefault();
    event.stopPropagation();
    // A key that is held moves as fast as the traces come.
    if (!event.repeat || (/^[jknp]$/.test(event.key) && !nWaiting)) void pressed();
  });

  note.addEventListener("input", () => drafts.set(shownId, note.value));
  note.addEventListener("keydown", async (event) => {
    if (event.key === "Escape") {
      event.stopPropagation();
      page.focus({ preventScroll: true });
    }
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    event.stopPropagation();
    page.focus({ preventScroll: true });
    // Of a trace that has no label yet it waits for the verdict.
    const [id, { word, note: stored }] = [shownId, model.get("progress")];
    if (word === null || note.value === stored) return;
    const { failed } = await act("annotate", { id, note: note.value });
    if (!failed) drafts.delete(id);
  });

  function showTrace() {
    const { id, html, empty } = model.get("shown");
    const inside = page.contains(document.activeElement);
    mark(null);
    page.replaceChildren();
    if (id) {
      // Made by the package's own templates, which escape every text of a trace.
      page.insertAdjacentHTML("beforeend", html ?? "");
      steps().forEach((details, at) => { details.dataset.at = String(at); });
      typeset(model, page);
    } else page.append(h("div", { className: "trt-nothing" }, h("p", {}, empty ?? "")));
    page.scrollTop = 0;
    if (inside) page.focus({ preventScroll: true });
    viewer.setAttribute("aria-pressed", String(model.get("view") === "markdown"));
  }

  function showProgress() {
    const now = model.get("progress");
    const { id } = model.get("shown");
    const where = [
      id ? `${n(now.position + 1)} of ${n(now.n_traces)}` : count(now.n_traces, "trace"),
      `${n(now.n_labelled)} labelled by ${model.get("annotator")}`, ...(now.n_deleted ? [`${n(now.n_deleted)} deleted`] : []),
    ].join(" · ");
    place.replaceChildren(...(now.queue ? [h("bdi", {}, now.queue), " · "] : []), where);
    bar.max = Math.max(now.n_traces - now.n_deleted, 1);
    bar.value = now.n_labelled;
    tally.replaceChildren(...now.counts.filter((one) => one.n).flatMap((one, at) => [at ? " · " : "", h("bdi", {}, one.text), ` ${n(one.n)}`]));
    verdicts.forEach((one, at) => {
      enable(one, id !== "");
      one.setAttribute("aria-pressed", String(choices[at]?.word === now.word));
    });
    enable(clearer, now.word !== null);
    enable(undoer, now.can_undo);
    enable(error, step !== null);
    note.disabled = !id;
    if (id !== shownId || document.activeElement !== note) note.value = drafts.get(id) ?? now.note;
    shownId = id;
    says.textContent = now.notice;
    page.querySelectorAll(".trt-said").forEach((one) => one.remove());
    const all = steps();
    for (const one of now.steps) {
      const summary = all[one.at]?.querySelector("summary");
      const text = one.note ? `${one.text}: ${one.note}` : one.text;
      summary?.append(h("bdi", { className: `trt-said${one.text === FIRST_ERROR ? " trt-is-error" : ""}`, title: text }, text));
    }
    // A label by another word than those of the form is shown beside them.
    if (now.word !== null && !choices.some((one) => one.word === now.word)) {
      page.querySelector(".trt-head")?.append(h("bdi", { className: "trt-said" }, now.text));
    }
  }

  form.on("change:shown", showTrace);
  form.on("change:progress", () => showProgress());
  form.on("change:shown", showProgress);
  showTrace();
  showProgress();
  return { close: form.close, ask: form.ask };
}
