// What all forms share. The file of a form follows this one, and both are sent as one module: no build, nothing fetched.

/** An element. Strings become text, never HTML, so that a trace's text cannot act. */
function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element && name !== "list" && name !== "role") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  if (/^(a|button|input|select|summary|textarea)$/.test(tag) || "tabIndex" in properties) {
    // Without this mark the notebook takes keys for its own: x cuts the cell.
    element.setAttribute("data-lm-suppress-shortcuts", "true");
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const byComma = new Intl.NumberFormat("en-US");
const n = (number) => byComma.format(number);
const count = (number, noun) => `${n(number)} ${noun}${number === 1 ? "" : "s"}`;

/** A number of characters in at most four signs, such as 1.2k. */
function short(number) {
  if (number < 1000) return String(number);
  const [scaled, unit] = number < 999_500 ? [number / 1e3, "k"] : [number / 1e6, "M"];
  return (scaled < 9.95 ? scaled.toFixed(1) : Math.round(scaled)) + unit;
}

/** A size in bytes, as people say it. */
function bytes(size) {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (size >= 1024 && unit + 1 < units.length) [size, unit] = [size / 1024, unit + 1];
  return `${unit && size < 10 ? size.toFixed(1) : Math.round(size)} ${units[unit]}`;
}

/** How long ago, in words; from a month on the date. */
function ago(iso) {
  const seconds = (Date.now() - Date.parse(iso)) / 1000;
  if (seconds < -60) return iso.slice(0, 10);
  if (seconds < 60) return "just now";
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  if (seconds < 30 * 86_400) return count(Math.floor(seconds / 86_400), "day") + " ago";
  return iso.slice(0, 10);
}

/** A moment: relative to read, exact in UTC on hover. */
function when(iso) {
  return h("time", { dateTime: iso, title: `${iso.replace("T", " ").replace("+00:00", "")} UTC` }, ago(iso));
}

/** Puts text on the clipboard, also where a page without https may not use the clipboard's own interface. */
async function copy(text) {
  if (navigator.clipboard && window.isSecureContext) return navigator.clipboard.writeText(text);
  const area = h("textarea", { value: text, style: "position:fixed;opacity:0" });
  document.body.append(area);
  area.select();
  const copied = document.execCommand("copy");
  area.remove();
  if (!copied) throw new Error("the browser did not let it be copied");
}

/** Gives a text to the browser to keep as a file. */
function download(name, content) {
  const link = h("a", { href: URL.createObjectURL(new Blob([content])), download: name });
  link.click();
  URL.revokeObjectURL(link.href);
}

/** Whether the kernel's side of a form is there; restored from a saved notebook, it is not. */
async function isAlive(model) {
  const own = await model.widget_manager.get_model(model.get("picture_id"));
  return own.comm_live !== false;
}

/**
 * One view of a form: it asks the kernel and tells what failed, and forgets everything when it is closed.
 * `ask(action, args, buffers)` resolves to the kernel's reply, also where the action failed: `{ failed: true }`.
 */
function open(model, el, { label }) {
  const me = crypto.getRandomValues(new Uint32Array(2)).join("-");
  const waiting = new Map();
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
  const root = h("section", { className: "trt-form", "aria-label": label }, hide, gone, told);
  el.classList.add("trt-live");
  el.append(root);

  function tell(problem) {
    said.textContent = problem;
    told.hidden = !problem;
  }

  function on(event, act) {
    model.on(event, act);
    undo.push(() => model.off(event, act));
  }

  function ask(action, args = {}, buffers = []) {
    const id = `${me}-${++asked}`;
    return new Promise((resolve) => {
      waiting.set(id, resolve);
      model.send({ do: action, id, args }, undefined, buffers);
    });
  }

  on("msg:custom", (message, buffers) => {
    const resolve = waiting.get(message.id);
    if (!resolve) return;
    waiting.delete(message.id);
    resolve({ ...message, buffers });
  });

  on("change:problem", () => tell(model.get("problem")));
  tell(model.get("problem"));

  on("comm_live_update", async () => {
    const lost = !(await isAlive(model));
    gone.hidden = !lost;
    root.classList.toggle("trt-gone", lost);
  });

  /** Calls `act` every so many ms while the form can be seen, and when it comes back into sight. */
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

/** A button that is busy while its action runs. */
function button(label, act, properties = {}) {
  const { className = "", ...rest } = properties;
  return h("button", {
    type: "button",
    className: `trt-button ${className}`,
    onclick: async (event) => {
      const self = event.currentTarget;
      if (self.getAttribute("aria-busy") === "true") return;
      self.setAttribute("aria-busy", "true");
      try {
        await act(event);
      } finally {
        self.removeAttribute("aria-busy");
      }
    },
    ...rest,
  }, label);
}

/** A labelled field. */
function field(label, input, className = "") {
  return h("label", { className: `trt-field-of ${className}` }, h("span", {}, label), input);
}

/** What the host calls to show a form. Without a kernel it shows nothing, so that the saved picture is seen. */
function shownBy(form) {
  return async (context) => (await isAlive(context.model)) && (await form(context)).close;
}
