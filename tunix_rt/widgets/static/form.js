// What all forms share. The file of a form follows this one; both are sent as one module, without a build step.
// The types are for `npm run check`; how the wire works is described in `form.py`.

/**
 * The traits that every form has.
 * @typedef {object} FormTraits
 * @property {string} problem what failed last, or ""
 * @property {string} picture_id
 * @property {Busy} busy
 */

/**
 * What a form waits for, or does, for more than a second; empty where it does not.
 * @typedef {{text?: string, waits?: boolean}} Busy
 */

/**
 * The actions that every form has.
 * @typedef {object} FormActions
 * @property {() => object} interrupt
 */

/**
 * The front end's side of a form: its traits, as the host keeps them. Only Python sets them, but for the editor's text.
 * @template {FormTraits} T
 * @typedef {object} Model
 * @property {<K extends keyof T>(trait: K) => T[K]} get
 * @property {<K extends keyof T>(trait: K, value: T[K]) => void} set
 * @property {() => void} save_changes
 * @property {(message: ActionRequest, callbacks: undefined, buffers: ArrayBuffer[]) => void} send
 * @property {(event: string, act: (...given: any[]) => void) => void} on
 * @property {(event: string, act: (...given: any[]) => void) => void} off
 * @property {boolean} [comm_live] false where no kernel answers
 * @property {WidgetManager} widget_manager
 */

/**
 * The host's registry of models; in JupyterLab it gives access to MathJax.
 * @typedef {object} WidgetManager
 * @property {(id: string) => Promise<Model<any>>} get_model
 * @property {{latexTypesetter?: {typeset: (node: Element) => void} | null}} [_rendermime]
 */

/**
 * What a form is shown with.
 * @template {FormTraits} T
 * @typedef {{model: Model<T>, el: HTMLElement}} Context
 */

/**
 * A request for an action, as it is sent.
 * @typedef {{do: string, id: string, args: object}} ActionRequest
 */

/**
 * The reply to it. `R` is what the action returns; where it failed, that is missing.
 * @template {object} R
 * @typedef {((R & {failed?: undefined}) | (Partial<R> & {failed: true})) & {id: string, problem: string, buffers: DataView[]}} Reply
 */

/**
 * One view of a form. `A` has a function for each action: from its arguments to what it returns.
 * @template {{[K in keyof A]: (args: any) => object}} A
 * @typedef {object} View
 * @property {string} me an id of this view alone
 * @property {HTMLElement} root
 * @property {<K extends keyof A & string>(action: K, ...given: [...Parameters<A[K]>, ...buffers: ArrayBuffer[][]]) =>
 *   Promise<Reply<ReturnType<A[K]>>>} ask
 * @property {(problem: string) => void} tell
 * @property {(event: string, act: (...given: any[]) => void) => void} on
 * @property {(ms: number, act: () => void) => void} every
 * @property {() => void} close
 * @property {(act: () => void) => void} onClose
 */

/**
 * Properties, listeners (`onclick`) and attributes of an element; those that are undefined, null or false are left out.
 * @typedef {{className?: string, onclick?: (event: MouseEvent) => unknown, [name: string]: unknown}} Properties
 */

/** @typedef {Node | string | null | undefined | false} Child */

/**
 * An element. Strings become text, never HTML, so that a trace's text cannot act.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Properties} [properties]
 * @param {...(Child | Child[])} children
 */
function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), /** @type {EventListener} */ (value));
    else if (name in element && name !== "list" && name !== "role") Object.assign(element, { [name]: value });
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  if (/^(a|button|input|select|summary|textarea)$/.test(tag) || "tabIndex" in properties) {
    // Without this mark the notebook would handle the keys: x cuts the cell.
    element.setAttribute("data-lm-suppress-shortcuts", "true");
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/**
 * The element that an event is about.
 * @param {Event} event
 */
const targetOf = (event) => /** @type {HTMLElement} */ (event.target);

/**
 * The message of what was thrown.
 * @param {unknown} error
 */
const messageOf = (error) => /** @type {Error} */ (error).message;

const byComma = new Intl.NumberFormat("en-US");
/** @param {number} number */
const n = (number) => byComma.format(number);
/** @param {number} number @param {string} noun */
const count = (number, noun) => `${n(number)} ${noun}${number === 1 ? "" : "s"}`;

/**
 * A number of characters in at most four signs, such as 1.2k.
 * @param {number} number
 */
function short(number) {
  if (number < 1000) return String(number);
  const inThousands = number < 999_500;
  const scaled = number / (inThousands ? 1e3 : 1e6);
  return (scaled < 9.95 ? scaled.toFixed(1) : Math.round(scaled)) + (inThousands ? "k" : "M");
}

/**
 * A size in bytes, as people say it.
 * @param {number} size
 */
function bytes(size) {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (size >= 1024 && unit + 1 < units.length) [size, unit] = [size / 1024, unit + 1];
  return `${unit && size < 10 ? size.toFixed(1) : Math.round(size)} ${units[unit]}`;
}

/**
 * How long ago, in words; from a month on the date.
 * @param {string} iso
 */
function ago(iso) {
  const seconds = (Date.now() - Date.parse(iso)) / 1000;
  if (seconds < -60) return iso.slice(0, 10);
  if (seconds < 60) return "just now";
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  if (seconds < 30 * 86_400) return count(Math.floor(seconds / 86_400), "day") + " ago";
  return iso.slice(0, 10);
}

/**
 * A moment: relative to read, exact in UTC on hover.
 * @param {string} iso
 */
function moment(iso) {
  return h("time", { dateTime: iso, title: `${iso.replace("T", " ").replace("+00:00", "")} UTC` }, ago(iso));
}

/**
 * Puts text on the clipboard, also where a page without https may not use the clipboard's own interface.
 * @param {string} text
 */
async function copy(text) {
  if (navigator.clipboard && window.isSecureContext) return navigator.clipboard.writeText(text);
  const area = h("textarea", { value: text, style: "position:fixed;opacity:0" });
  document.body.append(area);
  area.select();
  const copied = document.execCommand("copy");
  area.remove();
  if (!copied) throw new Error("the browser did not allow copying");
}

/**
 * Gives a text to the browser to keep as a file.
 * @param {string} name
 * @param {DataView} content
 */
function download(name, content) {
  const link = h("a", { href: URL.createObjectURL(new Blob([/** @type {DataView<ArrayBuffer>} */ (content)])), download: name });
  link.click();
  URL.revokeObjectURL(link.href);
}

/**
 * Whether the kernel's side of a form is there; restored from a saved notebook, it is not.
 * @param {Model<any>} model
 */
async function isAlive(model) {
  const own = await model.widget_manager.get_model(model.get("picture_id"));
  return own.comm_live !== false;
}

/**
 * One view of a form: it sends requests to the kernel, shows errors, and releases everything when it is closed.
 * `ask(action, args, buffers)` resolves to the kernel's reply, also if the action failed: `{ failed: true }`.
 * @param {Model<any>} model
 * @param {HTMLElement} el
 * @param {{label: string}} options
 * @returns {View<any>}
 */
function openView(model, el, { label }) {
  const me = crypto.getRandomValues(new Uint32Array(2)).join("-");
  /** @type {Map<string, (reply: Reply<object>) => void>} */
  const waiting = new Map();
  /** @type {(() => void)[]} */
  const undo = [];
  let asked = 0;

  const said = h("span", {});
  const told = h(
    "div",
    { className: "trt-problem", role: "alert", hidden: true },
    h("span", { className: "trt-sign", "aria-hidden": "true" }, "⚠"),
    said,
    h("button", { type: "button", className: "trt-icon", title: "Dismiss", "aria-label": "Dismiss", onclick: () => tell("") }, "×"),
  );
  const gone = h("div", { className: "trt-problem trt-lost", role: "alert", hidden: true },
    h("span", { className: "trt-sign", "aria-hidden": "true" }, "⚠"),
    h("span", {}, "The kernel that made this form is gone. Run the cell again to use it."));
  // The picture that the notebook keeps is for readers without a kernel; beside the living form it would be a second one.
  const hide = h("style", {}, `.trt-saved-${model.get("picture_id")} { display: none }`);
  const doing = h("span", { role: "status" });
  const cancel = button("Cancel", () => ask("interrupt"), { title: "Stop waiting; nothing is changed" });
  const busy = h("div", { className: "trt-busy", hidden: true }, doing, cancel);
  const root = h("section", { className: "trt-form", "aria-label": label }, hide, gone, told, busy);
  el.classList.add("trt-live");
  el.append(root);

  /** @param {string} problem */
  function tell(problem) {
    said.textContent = problem;
    told.hidden = !problem;
  }

  /** @param {string} event @param {(...given: any[]) => void} act */
  function on(event, act) {
    model.on(event, act);
    undo.push(() => model.off(event, act));
  }

  /** @param {string} action @param {any} [args] @param {any} [buffers] @returns {Promise<Reply<any>>} */
  function ask(action, args = {}, buffers = []) {
    const id = `${me}-${++asked}`;
    return new Promise((resolve) => {
      waiting.set(id, resolve);
      model.send({ do: action, id, args }, undefined, buffers);
    });
  }

  on("msg:custom", (/** @type {Reply<object>} */ message, /** @type {DataView[]} */ buffers) => {
    const resolve = waiting.get(message.id);
    if (!resolve) return;
    waiting.delete(message.id);
    resolve({ ...message, buffers });
  });

  function showBusy() {
    const { text = "" } = model.get("busy") ?? {};
    const hadFocus = busy.contains(document.activeElement);
    doing.textContent = text && `${text.charAt(0).toUpperCase()}${text.slice(1)} …`;
    busy.hidden = !text;
    // Not to the notebook, whose keys act on cells.
    if (hadFocus && !text) root.querySelector(/** @type {"button"} */ ("input:not([disabled]), button:not([disabled])"))?.focus();
  }
  on("change:busy", showBusy);
  showBusy();

  on("change:problem", () => tell(model.get("problem")));
  tell(model.get("problem"));

  on("comm_live_update", async () => {
    const lost = !(await isAlive(model));
    gone.hidden = !lost;
    root.classList.toggle("trt-gone", lost);
  });

  /**
   * Calls `act` every `ms` milliseconds while the form is visible, and when it becomes visible again.
   * @param {number} ms
   * @param {() => void} act
   */
  function every(ms, act) {
    let inSight = false;
    let last = Date.now();
    const tick = () => {
      if (!inSight || document.hidden || Date.now() - last < ms * 0.9) return;
      last = Date.now();
      act();
    };
    const timer = setInterval(tick, ms);
    const seen = new IntersectionObserver((entries) => {
      inSight = entries.some((entry) => entry.isIntersecting);
      tick();
    });
    seen.observe(root);
    document.addEventListener("visibilitychange", tick);
    undo.push(() => clearInterval(timer), () => seen.disconnect(), () => document.removeEventListener("visibilitychange", tick));
  }

  every(30_000, () => {
    for (const time of root.querySelectorAll("time")) time.textContent = ago(time.dateTime);
  });

  return { me, root, ask, tell, on, every, close: () => undo.forEach((act) => act()), onClose: (act) => undo.push(act) };
}

/**
 * A button that is busy while its action runs.
 * @param {string} label
 * @param {() => unknown} act
 * @param {Properties} [properties]
 */
function button(label, act, properties = {}) {
  const { className = "", ...rest } = properties;
  return h("button", {
    type: "button",
    className: `trt-button ${className}`,
    onclick: async (event) => {
      const pressed = /** @type {HTMLElement} */ (event.currentTarget);
      if (pressed.getAttribute("aria-busy") === "true") return;
      pressed.setAttribute("aria-busy", "true");
      try {
        await act();
      } finally {
        pressed.removeAttribute("aria-busy");
      }
    },
    ...rest,
  }, label);
}

/**
 * Mathematics is rendered by the notebook's MathJax, if the host gives access to it; otherwise the TeX stays.
 * @param {Model<any>} model
 * @param {Element} node
 */
function typeset(model, node) {
  const typesetter = model.widget_manager?._rendermime?.latexTypesetter;
  if (typesetter && node.querySelector(".mathjax_process")) typesetter.typeset(node);
}

/**
 * A labelled field.
 * @param {string} label
 * @param {HTMLElement} input
 */
function field(label, input, className = "") {
  return h("label", { className: `trt-field-of ${className}` }, h("span", {}, label), input);
}

/**
 * What the host calls to show a form. Without a kernel it shows nothing, so that the saved picture is seen.
 * @template {FormTraits} T
 * @param {(context: Context<T>) => {close: () => void} | Promise<{close: () => void}>} form
 * @returns {(context: Context<T>) => Promise<false | (() => void)>}
 */
function shownBy(form) {
  return async (context) => (await isAlive(context.model)) && (await form(context)).close;
}
