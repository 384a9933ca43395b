// All the forms in one panel: a toolbar, the list beside the trace (below it where there is no room), the store's line.

/**
 * @typedef {object} OwnAppTraits the names of the parts' models
 * @property {string} browser
 * @property {string} viewer
 * @property {string} upload
 * @property {string} status
 * @property {number} list_width how much of the width the list has, in percent
 * @typedef {FormTraits & OwnAppTraits} AppTraits
 */

/** @type {[number, number]} */
const LIST_WIDTHS = [15, 85]; // in percent
const WIDTH_STEP = 3;

/** @param {Context<AppTraits>} context */
async function appForm({ model, el }) {
  /** @param {keyof OwnAppTraits} name */
  const part = (name) => model.widget_manager.get_model(String(model.get(name)).slice("IPY_MODEL_".length));
  const [its, trace, uploads, store] = await Promise.all([part("browser"), part("viewer"), part("upload"), part("status")]);
  const form = openView(model, el, { label: "Traces: browse, add and view" });
  const head = h("div", { className: "trt-head-of-app" });
  const incoming = h("div", { className: "trt-upload-of-app", id: `trt-upload-${form.me}`, hidden: true });
  const left = h("div", { className: "trt-left" });
  const right = h("div", { className: "trt-right" });
  const foot = h("div", { className: "trt-foot" });
  form.root.classList.add("trt-app");
  const divider = h("div", {
    className: "trt-divider", role: "separator", tabIndex: 0, "aria-orientation": "vertical", "aria-label": "Width of the list",
    "aria-valuemin": LIST_WIDTHS[0], "aria-valuemax": LIST_WIDTHS[1], title: "Drag it, or press the arrows",
  });
  const both = h("div", { className: "trt-both" }, left, divider, right);
  form.root.append(head, incoming, both, foot);

  function showWidth() {
    const percent = model.get("list_width");
    both.style.setProperty("--trt-list-width", `${percent}fr`);
    both.style.setProperty("--trt-trace-width", `${100 - percent}fr`);
    divider.setAttribute("aria-valuenow", String(percent));
  }
  /** @param {number} percent */
  function setWidth(percent) {
    model.set("list_width", Math.round(Math.min(Math.max(percent, LIST_WIDTHS[0]), LIST_WIDTHS[1])));
  }
  divider.addEventListener("pointerdown", (event) => {
    divider.setPointerCapture(event.pointerId);
    divider.onpointermove = (moved) => {
      const { left: start, right: end } = both.getBoundingClientRect();
      const part = (100 * (moved.clientX - start)) / (end - start);
      setWidth(getComputedStyle(both).direction === "rtl" ? 100 - part : part);
    };
    divider.onpointerup = divider.onpointercancel = () => {
      divider.onpointermove = divider.onpointerup = divider.onpointercancel = null;
      model.save_changes();
    };
    event.preventDefault();
  });
  divider.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -WIDTH_STEP, ArrowRight: WIDTH_STEP }[event.key];
    if (!by) return;
    setWidth(model.get("list_width") + by);
    model.save_changes();
    event.preventDefault();
    event.stopPropagation();
  });
  form.on("change:list_width", showWidth);
  showWidth();

  const list = browserForm({ model: its, el: left, toolbarInto: head, compareInto: right });
  const views = [
    list,
    viewerForm({ model: trace, el: right }),
    uploadForm({ model: uploads, el: incoming }),
    statusForm({ model: store, el: foot }),
  ];
  const uploader = button("Add traces", () => {
    incoming.hidden = !incoming.hidden;
    uploader.setAttribute("aria-expanded", String(!incoming.hidden));
    if (!incoming.hidden) /** @type {HTMLElement | null} */ (incoming.querySelector(".trt-drop button"))?.focus();
  }, { className: "trt-first trt-end", "aria-expanded": "false", "aria-controls": incoming.id });
  list.toolbar.append(uploader);

  form.root.addEventListener("keydown", (event) => {
    if (event.key !== "/" || /^(INPUT|TEXTAREA|SELECT)$/.test(targetOf(event).tagName)) return;
    event.preventDefault();
    event.stopPropagation();
    list.search.focus();
  });
  return { close: () => [...views, form].forEach((view) => view.close()) };
}
