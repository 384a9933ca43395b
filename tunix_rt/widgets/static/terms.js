// A field of terms (`reward<1, model!=a`), which offers what the newest traces have.

const OFFER_MS = 150; // a pause in typing that means "what is there to choose from?"

/**
 * Offers what is known while somebody types, and searches for what is complete: at Enter, at a choice of what is
 * offered, and when the field is left. Returns what is to be put into the page.
 * @param {View<any>} form with an action `suggest`
 * @param {string} name
 * @param {HTMLInputElement} input
 * @param {() => unknown} search
 */
function offerTerms(form, name, input, search) {
  const known = h("datalist", { id: `trt-${name}-${form.me}` });
  input.setAttribute("list", known.id);
  /** @type {number | undefined} */
  let waiting;
  let asked = 0;
  let isNew = false;
  function searchNow() {
    isNew = false;
    search();
  }
  async function offer() {
    const mine = ++asked;
    /** @type {Reply<{suggestions: {value: string, label: string}[]}>} */
    const { suggestions = [] } = await form.ask("suggest", { name, text: input.value });
    if (mine === asked) known.replaceChildren(...suggestions.map(({ value, label }) => h("option", { value, label })));
  }
  input.addEventListener("focus", offer);
  input.addEventListener("input", (event) => {
    const isChosen = !(event instanceof InputEvent) || event.inputType === "insertReplacementText";
    clearTimeout(waiting);
    isNew = true;
    if (isChosen) searchNow();
    waiting = setTimeout(offer, isChosen ? 0 : OFFER_MS);
  });
  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter") searchNow();
  });
  input.addEventListener("change", () => isNew && searchNow());
  form.onClose(() => clearTimeout(waiting));
  return known;
}
