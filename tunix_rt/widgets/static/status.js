// The store's numbers and health: one line, and all of it behind a click; made anew every 30 s while it is shown.

const REFRESH_MS = 30_000;

/**
 * @typedef {object} OwnStatusTraits
 * @property {boolean} unfolded
 * @property {{state: string, sign: string, facts?: string[], html?: string, at?: string}} shown
 * @typedef {FormTraits & OwnStatusTraits} StatusTraits
 */

/**
 * @typedef {object} StatusActions
 * @property {() => object} refresh
 */

/** @param {Context<StatusTraits>} context */
function statusForm({ model, el }) {
  /** @type {View<StatusActions>} */
  const form = openView(model, el, { label: "Store" });
  const line = h("summary", {});
  const body = h("div", { className: "trt-status-body" });
  const again = button("Refresh", () => form.ask("refresh"), { className: "trt-quietly" });
  const all = h("details", { className: "trt-status" }, line, h("div", { className: "trt-status-all" }, body, again));
  form.root.append(all);

  function show() {
    const { state, sign, facts = [], html = "", at } = model.get("shown");
    line.replaceChildren(
      h("span", { className: `trt-health` }, h("span", { "aria-hidden": "true" }, sign), ` ${state}`),
      ...facts.flatMap((fact) => [" · ", fact]),
      ...(at ? [" · seen ", moment(at)] : []),
    );
    // Made by the package's own templates, which escape every text.
    body.innerHTML = html;
  }

  form.on("change:shown", show);
  let asking = false;
  form.every(REFRESH_MS, async () => {
    if (asking) return;
    asking = true;
    await form.ask("refresh");
    asking = false;
  });
  all.open = model.get("unfolded");
  show();
  return { close: form.close, ask: form.ask };
}
