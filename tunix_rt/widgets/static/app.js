// All the forms in one panel: a toolbar, the list beside the trace (below it where there is no room), the store's line.

/**
 * @typedef {object} OwnAppTraits the names of the parts' models
 * @property {string} browser
 * @property {string} viewer
 * @property {string} upload
 * @property {string} status
 * @typedef {FormTraits & OwnAppTraits} AppTraits
 */

/** @param {Context<AppTraits>} context */
async function appForm({ model, el }) {
  /** @param {keyof OwnAppTraits} name */
  const part = (name) => model.widget_manager.get_model(model.get(name).slice("IPY_MODEL_".length));
  const [its, trace, uploads, store] = await Promise.all([part("browser"), part("viewer"), part("upload"), part("status")]);
  const form = openView(model, el, { label: "Traces: browse, add and view" });
  const head = h("div", { className: "trt-head-of-app" });
  const incoming = h("div", { className: "trt-upload-of-app", id: `trt-upload-${form.me}`, hidden: true });
  const left = h("div", { className: "trt-left" });
  const right = h("div", { className: "trt-right" });
  const foot = h("div", { className: "trt-foot" });
  form.root.classList.add("trt-app");
  form.root.append(head, incoming, h("div", { className: "trt-both" }, left, right), foot);

  const list = browserForm({ model: its, el: left, toolbarInto: head });
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
