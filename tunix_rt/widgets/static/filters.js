// The search, and a field for each filter, in every form that finds traces by them.

const TYPING_MS = 300; // a pause in typing that means "search now"

/**
 * The filters of `store.page`, as JSON; `text` is the search.
 * @typedef {{[name: string]: unknown}} TraceFilters
 */

/**
 * A filter that has a field of its own.
 * @typedef {object} FilterField
 * @property {string} name
 * @property {"text" | "count" | "number" | "time" | "terms"} input
 * @property {string} caption
 * @property {string} label
 * @property {boolean} beside
 */

/**
 * @typedef {object} FiltersTraits
 * @property {TraceFilters} filters
 * @property {FilterField[]} filter_fields
 */

/**
 * @typedef {object} FiltersActions
 * @property {() => {sources: string[]}} sources
 * @property {(args: {name: string, text: string}) => {suggestions: {value: string, label: string}[]}} suggest
 */

/**
 * The field of the search, the button that unfolds the other fields, and their panel.
 * @param {Model<any>} model
 * @param {View<any>} form
 * @param {(filters: TraceFilters) => unknown} act
 */
function filterFields(model, form, act) {
  const search = h("input", {
    type: "search",
    className: "trt-search",
    placeholder: "Search prompt, steps, answer",
    "aria-label": "Search in prompt, steps and answer",
  });
  /** @type {number | undefined} */
  let typing;
  /** @param {HTMLInputElement} input */
  function findAsTyped(input) {
    input.addEventListener("input", () => {
      clearTimeout(typing);
      typing = setTimeout(findNow, TYPING_MS);
    });
    input.addEventListener("keydown", (event) => {
      if (event.key !== "Enter") return;
      clearTimeout(typing);
      findNow();
    });
  }
  findAsTyped(search);

  const sources = h("datalist", { id: `trt-sources-${form.me}` });
  // One field for each filter of the table in Python; one that is `beside` continues the field before it.
  const kinds = {
    text: { type: "text", placeholder: "any" },
    count: { type: "number", min: 0, inputMode: "numeric" },
    number: { type: "number", step: "any", inputMode: "decimal", placeholder: "any" },
    time: { type: "datetime-local", step: 1 },
    terms: { type: "text", placeholder: "any", title: "Terms such as reward<1, model!=a, !truncated, with commas between; keys and values of the newest 1,000 traces are offered" },
  };
  /** @type {FilterField[]} */
  const all = model.get("filter_fields");
  /** @type {{[name: string]: HTMLInputElement}} */
  const fields = {};
  /** @type {HTMLElement[]} */
  const labelled = [];
  for (const { name, input, caption, label, beside } of all) {
    fields[name] = h("input", { "aria-label": label, ...kinds[input] });
    if (input === "count") fields[name].placeholder = beside ? "to" : "from";
    if (beside) labelled.at(-1)?.append(field(caption, fields[name], "trt-unsaid"));
    else labelled.push(h("div", { className: "trt-pair" }, field(caption, fields[name])));
  }
  fields.source?.setAttribute("list", sources.id);
  /** @type {HTMLElement[]} */
  const offered = [];
  for (const { name, input } of all) {
    const its = /** @type {HTMLInputElement} */ (fields[name]);
    if (input === "terms") offered.push(offerTerms(form, name, its, findNow));
    else findAsTyped(its);
  }
  const others = h("div", { className: "trt-chips" });
  const panel = h(
    "div",
    { className: "trt-filters", id: `trt-filters-${form.me}`, hidden: true, role: "group", "aria-label": "Filters" },
    sources,
    ...offered,
    ...labelled,
    others,
    button("Clear all", () => act({}), { className: "trt-quietly" }),
  );
  const more = button("Filters", async () => {
    panel.hidden = !panel.hidden;
    more.setAttribute("aria-expanded", String(!panel.hidden));
    if (!panel.hidden) {
      fields.source?.focus();
      /** @type {Reply<{sources: string[]}>} */
      const { sources: known = [] } = await form.ask("sources");
      sources.replaceChildren(...known.map((value) => h("option", { value })));
    }
  }, { "aria-expanded": "false", "aria-controls": panel.id });

  function findNow() {
    const asked = { ...model.get("filters") };
    const text = search.value;
    if (text) asked.text = text;
    else delete asked.text;
    for (const [name, input] of Object.entries(fields)) {
      // An incomplete date or number: the filter stays as it was until it is complete.
      if (input.validity.badInput) continue;
      if (input.value === "") delete asked[name];
      // A time that the field cannot show in full stays as it was given.
      else if (input.type === "datetime-local") {
        if (input.value !== seconds(asked[name])) asked[name] = `${input.value}Z`;
      } else asked[name] = input.type === "number" ? Number(input.value) : input.value;
    }
    return act(asked);
  }

  /**
   * A moment as a field for it wants it.
   * @param {unknown} iso
   */
  const seconds = (iso) => (iso ? String(iso).replace(" ", "T").slice(0, 19) : "");

  function showFilters() {
    /** @type {TraceFilters} */
    const given = model.get("filters");
    if (document.activeElement !== search) search.value = String(given.text ?? "");
    for (const [name, input] of Object.entries(fields)) {
      if (document.activeElement === input) continue;
      const value = given[name] ?? "";
      input.value = input.type === "datetime-local" ? seconds(value) : String(value);
    }
    const unknown = Object.keys(given).filter((name) => name !== "text" && !(name in fields));
    others.replaceChildren(...unknown.map((name) => {
      const asked = given[name];
      const value = typeof asked === "string" ? asked : JSON.stringify(asked);
      const { [name]: _, ...rest } = given;
      return button(`${name}: ${value.length > 40 ? value.slice(0, 39) + "…" : value} ×`, () => act(rest),
        { className: "trt-chip", title: "Remove this filter", "aria-label": `Remove the filter ${name}` });
    }));
    const active = Object.keys(given).filter((name) => name !== "text").length;
    more.textContent = active ? `Filters (${active})` : "Filters";
  }

  form.on("change:filters", showFilters);
  form.onClose(() => clearTimeout(typing));
  showFilters();
  return { search, more, panel };
}
