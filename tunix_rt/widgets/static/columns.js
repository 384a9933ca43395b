// The columns of a list: a panel to choose and move them, handles and keys to widen them, and the rows of a page.

/**
 * @typedef {object} ColumnsTraits
 * @property {string[]} columns
 * @property {{[column: string]: number}} widths
 * @property {number} limit
 */

/**
 * @typedef {object} ColumnsActions
 * @property {(args: {columns: string[]}) => object} show_columns
 * @property {(args: {limit: number}) => object} show_limit
 * @property {(args: {column: string, width: number}) => object} resize
 * @property {() => {columns: string[]}} known_columns
 */

const PAGE_SIZES = [20, 50, 100];
const WIDER = 16; // pixels for a key
const NARROWEST = 30;

/**
 * The button of the panel, and the panel.
 * @param {Model<any>} model
 * @param {View<any>} form
 * @param {() => string[]} shown the columns that are in the list now
 */
function columnsPanel(model, form, shown) {
  /** @type {string[]} */
  let known = [];
  const list = h("div", { className: "trt-columns", role: "group", "aria-label": "Columns" });
  const further = h("datalist", { id: `trt-columns-${form.me}` });
  const name = h("input", { "aria-label": "Another column", placeholder: "meta.KEY or score.NAME", list: further.id });
  const size = h("select", { "aria-label": "Rows of a page" });
  size.addEventListener("change", () => form.ask("show_limit", { limit: Number(size.value) }));
  const add = button("Add", async () => {
    if (!name.value.trim()) return;
    const { failed } = await ask([...shown(), name.value.trim()]);
    if (!failed) name.value = "";
  });
  name.addEventListener("keydown", (event) => {
    if (event.key === "Enter") add.click();
  });
  const automatic = button("Usual columns", () => ask([]), { className: "trt-quietly", title: "What the traces on the page have" });
  const panel = h("div", { className: "trt-columns-panel", id: `trt-columns-of-${form.me}`, hidden: true, role: "group", "aria-label": "Columns and rows" },
    list, h("div", { className: "trt-row" }, further, name, add, automatic, field("Rows", size, "trt-inline")));
  const unfolder = button("Columns", async () => {
    panel.hidden = !panel.hidden;
    unfolder.setAttribute("aria-expanded", String(!panel.hidden));
    if (panel.hidden) return;
    show();
    list.querySelector("input")?.focus();
    ({ columns: known = [] } = await form.ask("known_columns"));
    show();
  }, { "aria-expanded": "false", "aria-controls": panel.id });

  /** @param {string[]} columns */
  const ask = (columns) => form.ask("show_columns", { columns });

  /** @param {string} key @param {number} by */
  function move(key, by) {
    const now = shown();
    const at = now.indexOf(key);
    now.splice(at, 1);
    now.splice(Math.max(0, at + by), 0, key);
    return ask(now);
  }

  function show() {
    if (panel.hidden) return;
    const now = shown();
    const rest = known.filter((key) => !now.includes(key));
    const focused = document.activeElement instanceof HTMLElement && list.contains(document.activeElement) ? document.activeElement.dataset.at : "";
    const had = new Map([...list.children].map((one) => [one instanceof HTMLElement ? one.dataset.made : "", one]));
    const columns = [...now, ...rest].map((key) => {
      const at = now.indexOf(key);
      // What is as it was stays where it is: a click may be under way on it.
      const made = JSON.stringify([key, at, now.length]);
      const same = had.get(made);
      if (same) {
        /** @type {HTMLInputElement} */ (same.querySelector("input")).checked = at >= 0;
        return same;
      }
      const box = h("input", {
        type: "checkbox", checked: at >= 0, "data-at": `box ${key}`,
        onchange: () => ask(at >= 0 ? shown().filter((one) => one !== key) : [...shown(), key]),
      });
      /** @param {string} sign @param {number} by @param {string} way */
      const mover = (sign, by, way) => button(sign, () => move(key, by), {
        className: "trt-icon trt-quietly", disabled: at + by < 0 || at + by >= now.length, "data-at": `${way} ${key}`,
        "aria-label": `Move ${key} to the ${way}`, title: `Further to the ${way}`,
      });
      return h("span", { className: `trt-column ${at >= 0 ? "trt-is-shown" : ""}`, "data-made": made },
        h("label", { className: "trt-check" }, box, h("span", { dir: "auto" }, key)),
        ...(at >= 0 ? [mover("‹", -1, "left"), mover("›", 1, "right")] : []));
    });
    columns.forEach((one, at) => one === list.children[at] || list.insertBefore(one, list.children[at] ?? null));
    while (list.children.length > columns.length) list.lastElementChild?.remove();
    const again = [...list.querySelectorAll("[data-at]")].find((one) => one instanceof HTMLElement && one.dataset.at === focused);
    if (again instanceof HTMLElement && again !== document.activeElement) again.focus();
    further.replaceChildren(...rest.map((value) => h("option", { value })));
    const limit = model.get("limit");
    size.replaceChildren(...[...new Set([...PAGE_SIZES, limit])].sort((a, b) => a - b).map((value) => h("option", { value, selected: value === limit }, String(value))));
  }

  form.on("change:limit", show);
  return { unfolder, panel, show };
}

/**
 * Lets the headings of a table be widened: by a handle, or by Shift and the arrows.
 * @param {View<any>} form
 * @param {HTMLTableElement} table
 */
function widenedColumns(form, table) {
  /** @param {HTMLElement} heading @param {number} width */
  const resize = (heading, width) => form.ask("resize", { column: heading.dataset.column ?? "", width: Math.round(width) });

  /** Adds the handles to new headings. */
  function show() {
    for (const heading of table.tHead?.rows[0]?.cells ?? []) {
      if (!heading.dataset.column || heading.querySelector(".trt-handle")) continue;
      const handle = h("span", { className: "trt-handle", "aria-hidden": "true", title: "Drag to widen; double click for the usual width" });
      handle.addEventListener("click", (event) => event.stopPropagation());
      handle.addEventListener("dblclick", () => resize(heading, 0));
      handle.addEventListener("pointerdown", (event) => {
        const start = event.clientX;
        const width = heading.offsetWidth;
        const way = getComputedStyle(table).direction === "rtl" ? -1 : 1;
        let now = width;
        handle.setPointerCapture(event.pointerId);
        handle.onpointermove = (moved) => {
          now = Math.max(NARROWEST, width + way * (moved.clientX - start));
          heading.style.width = `${now}px`;
        };
        handle.onpointerup = handle.onpointercancel = () => {
          handle.onpointermove = handle.onpointerup = handle.onpointercancel = null;
          if (now !== width) resize(heading, now);
        };
        event.preventDefault();
      });
      heading.append(handle);
    }
  }

  table.tHead?.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -WIDER, ArrowRight: WIDER }[event.key];
    const heading = targetOf(event).closest("th");
    if (!by || !event.shiftKey || !heading?.dataset.column) return;
    const width = Math.max(NARROWEST, heading.offsetWidth + by);
    heading.style.width = `${width}px`;
    resize(heading, width);
    event.preventDefault();
    event.stopImmediatePropagation();
  });
  return { show };
}
