// All the forms in one panel: a toolbar, the list beside the trace (below it where there is no room), the store's line.

async function app({ model, el }) {
  const part = (name) => model.widget_manager.get_model(model.get(name).slice("IPY_MODEL_".length));
  const [its, trace, uploads, store] = await Promise.all(["browser", "viewer", "upload", "status"].map(part));
  const form = open(model, el, { label: "Traces: browse, upload and view" });
  const head = h("div", { className: "trt-head-of-app" });
  const incoming = h("div", { className: "trt-upload-of-app", id: `trt-upload-${form.me}`, hidden: true });
  const left = h("div", { className: "trt-left" });
  const right = h("div", { className: "trt-right" });
  const foot = h("div", { className: "trt-foot" });
  form.root.classList.add("trt-app");
  form.root.append(head, incoming, h("div", { className: "trt-both" }, left, right), foot);

  const list = browser({ model: its, el: left, toolbarInto: head });
  const views = [
    list,
    viewer({ model: trace, el: right }),
    upload({ model: uploads, el: incoming }),
    status({ model: store, el: foot }),
  ];
  const opener = button("Upload", () => {
    incoming.hidden = !incoming.hidden;
    opener.setAttribute("aria-expanded", String(!incoming.hidden));
    if (!incoming.hidden) incoming.querySelector("select").focus();
  }, { className: "trt-first trt-end", "aria-expanded": "false", "aria-controls": incoming.id });
  list.toolbar.append(opener);

  form.root.addEventListener("keydown", (event) => {
    if (event.key !== "/" || /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName)) return;
    event.preventDefault();
    event.stopPropagation();
    list.search.focus();
  });
  return { close: () => [...views, form].forEach((view) => view.close()) };
}
