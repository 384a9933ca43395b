// Traces in: an example or JSON in the editor, files from this computer in chunks, a path on the kernel's machine.

const CHUNK_BYTES = 512 * 1024; // some hosts lose messages from about a megabyte
const IN_FLIGHT = 4; // chunks that are on their way at once
const EDITOR_MAX = 2 ** 20; // characters; more is a file's work, and hosts lose messages of 10 MB
const CHECK_MS = 250; // a pause in typing that means "is this right?"

/**
 * @typedef {object} OwnUploadTraits
 * @property {string[]} examples
 * @property {string} text the JSON in the editor
 * @property {EditorProblem[]} problems
 * @property {string} uploaded the id of the trace that was uploaded last, or ""
 * @property {{name?: string, done: number, total: number}} progress
 * @property {ShownReport[]} shown_reports
 * @property {Proposal[]} proposals how the last file could be loaded, if it is of no known format
 * @property {string} opened the HTML of a trace, or ""
 * @typedef {FormTraits & OwnUploadTraits} UploadTraits
 */

/**
 * What is wrong with the text in the editor; `at` counts as JavaScript does, in units of UTF-16.
 * @typedef {{field?: string | null, reason: string, line?: number, column?: number, at?: number}} EditorProblem
 */

/**
 * A load's report; `ids` are the first of what was added.
 * @typedef {{html: string, ids: string[], n_added: number, n_rejected: number}} ShownReport
 */

/**
 * A mapping in words, and the first trace that it gives as HTML.
 * @typedef {{name: string, line: string, html: string}} Proposal
 */

/**
 * @typedef {object} UploadActions
 * @property {(args: {name: string}) => object} load_example
 * @property {(args: {text: string}) => object} upload
 * @property {() => object} fetch
 * @property {(args: {name: string, size: number}) => object} begin
 * @property {(args: {at: number}) => object} receive with a buffer: the part that begins at this byte
 * @property {(args: {known: Known}) => object} load_received
 * @property {(args: {path: string, known: Known}) => object} load_path
 * @property {(args: {index: number}) => object} load_proposed
 * @property {() => object} cancel
 * @property {(args: {report: number}) => object} rejected replies with a buffer: JSON Lines
 * @property {(args: {id: string}) => object} show
 */

/** @typedef {"skip" | "add"} Known */

/** @param {Context<UploadTraits>} context */
function uploadForm({ model, el }) {
  /** @type {View<UploadActions>} */
  const form = openView(model, el, { label: "Upload traces" });

  // One trace, written or pasted.
  const choice = h("select", { "aria-label": "Example" }, model.get("examples").map((name) => h("option", { value: name }, name.replaceAll("_", " "))));
  choice.value = "fahrenheit";
  const load = button("Load Example", () => form.ask("load_example", { name: choice.value }));
  const area = h("textarea", {
    className: "trt-editor", rows: 12, spellcheck: false, placeholder: '{"prompt": "…", "steps": ["…"], "final_answer": "…"}',
    "aria-label": "A trace as JSON", dir: "ltr",
  });
  const problems = h("ul", { className: "trt-problems" });
  const faults = h("div", { id: `trt-problems-${form.me}`, role: "status" }, problems);
  area.setAttribute("aria-describedby", faults.id);
  const send = button("Upload", () => {
    flush();
    // Sent with the request: the host delays traits while others are being sent.
    return form.ask("upload", { text: area.value });
  }, { className: "trt-first" });
  const fetchBack = button("Fetch", () => form.ask("fetch"));
  const success = h("div", { className: "trt-success", role: "status" });

  /** @type {number | undefined} */
  let typing;
  let tooLong = false;
  function flush() {
    clearTimeout(typing);
    tooLong = area.value.length > EDITOR_MAX;
    model.set("text", tooLong ? "" : area.value);
    model.save_changes();
    enable();
  }
  area.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(flush, CHECK_MS);
    enable();
  });

  function enable() {
    send.disabled = !area.value.trim() || tooLong || model.get("problems").length > 0;
    fetchBack.disabled = !model.get("uploaded");
  }

  function showText() {
    const text = model.get("text");
    // A text that is too long stays in the editor, but is not sent to Python.
    if (text !== area.value && (text || !tooLong)) {
      tooLong = false;
      area.value = text;
    }
    enable();
  }

  function showProblems() {
    /** @type {EditorProblem[]} */
    const found = tooLong
      ? [{ reason: `${n(area.value.length)} characters are too many for the editor. Save the text as a file, and upload the file.` }]
      : model.get("problems");
    problems.replaceChildren(...found.map(({ line, column, at = 0, field: inField, reason }) => h("li", {},
      line ? button(`line ${line}, column ${column}`, () => {
        area.focus();
        area.setSelectionRange(at, at);
        const height = parseFloat(getComputedStyle(area).lineHeight) || 18;
        area.scrollTop = Math.max(0, (line - 4) * height);
      }, { className: "trt-link", title: "Go there" }) : null,
      inField ? h("code", {}, inField) : null,
      h("span", {}, reason))));
    area.setAttribute("aria-invalid", String(found.length > 0));
    enable();
  }

  function showUploaded() {
    const id = model.get("uploaded");
    success.replaceChildren(...(id ? [h("span", { "aria-hidden": "true" }, "✓ "), "Uploaded: ", h("code", {}, id)] : []));
    enable();
  }

  const one = h("div", { className: "trt-part" },
    h("div", { className: "trt-row" }, choice, load),
    area, faults,
    h("div", { className: "trt-row" }, send, fetchBack, success));

  // Files.
  const picker = h("input", { type: "file", multiple: true, className: "trt-visually-hidden", tabIndex: -1, "aria-hidden": "true" });
  const pick = button("Choose files …", () => picker.click());
  const drop = h("div", { className: "trt-drop" }, pick, h("span", {}, "or drop them here: JSON, JSON Lines, Parquet, CSV, .eval …, also compressed, of any size"), picker);
  picker.addEventListener("change", async () => {
    const files = [...(picker.files ?? [])];
    picker.value = "";
    await takeFiles(files);
  });
  /** @param {DragEvent} event */
  const carriesFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  for (const type of /** @type {const} */ (["dragenter", "dragover"])) form.root.addEventListener(type, (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    event.stopPropagation();
    drop.classList.add("trt-over");
  });
  form.root.addEventListener("dragleave", (event) => {
    if (!form.root.contains(/** @type {Node | null} */ (event.relatedTarget))) drop.classList.remove("trt-over");
  });
  form.root.addEventListener("drop", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    event.stopPropagation();
    drop.classList.remove("trt-over");
    takeFiles([...(event.dataTransfer?.files ?? [])]);
  });

  const path = h("input", { type: "text", placeholder: "runs/*.jsonl", "aria-label": "File, folder or pattern on the kernel's machine", spellcheck: false });
  const take = button("Load", loadPath);
  path.addEventListener("input", () => enableFiles());
  path.addEventListener("keydown", (event) => event.key === "Enter" && !take.disabled && take.click());
  const kept = h("input", { type: "checkbox" });
  const known = h("label", { className: "trt-check", title: "Traces that are already stored are added a second time" }, kept, "add again what is already stored");

  const bar = h("progress", { max: 1, value: 0, "aria-label": "Progress" });
  const doing = h("span", { className: "trt-place" });
  const cancel = button("Cancel", () => {
    cancelled = true;
    return form.ask("cancel");
  });
  const work = h("div", { className: "trt-work", hidden: true }, h("div", { className: "trt-row" }, bar, cancel), doing);
  const reports = h("div", { className: "trt-reports", "aria-live": "polite" });
  const proposals = h("div", { className: "trt-reports", "aria-live": "polite" });
  const many = h("div", { className: "trt-part" },
    drop, h("div", { className: "trt-row" }, h("span", { className: "trt-grow" }, path), take), known, work, proposals, reports);

  let busy = false;
  let cancelled = false;
  function enableFiles() {
    pick.disabled = busy;
    kept.disabled = busy;
    path.disabled = busy;
    take.disabled = busy || !path.value.trim();
    work.hidden = !busy;
  }

  /** @param {() => Promise<unknown>} act */
  async function working(act) {
    if (busy) return form.tell("Another load is running. Wait until it is done, or cancel it.");
    busy = true;
    cancelled = false;
    form.tell("");
    progress(0, 0, "");
    enableFiles();
    try {
      return await act();
    } finally {
      busy = false;
      enableFiles();
    }
  }

  /** @param {number} done @param {number} total @param {string} text */
  function progress(done, total, text) {
    if (total) bar.value = done / total;
    else bar.removeAttribute("value");
    doing.textContent = total ? `${text} · ${bytes(done)} of ${bytes(total)}` : text;
  }

  /** @returns {Known} */
  const howKnown = () => (kept.checked ? "add" : "skip");

  function loadPath() {
    return working(() => form.ask("load_path", { path: path.value.trim(), known: howKnown() }));
  }

  /** @param {File[]} files */
  function takeFiles(files) {
    return working(async () => {
      for (const file of files) {
        if (cancelled || !(await takeFile(file))) break;
      }
    });
  }

  /**
   * Sends a file in chunks, a few ahead of what has arrived, and has it loaded.
   * @param {File} file
   */
  async function takeFile(file) {
    const begun = await form.ask("begin", { name: file.name, size: file.size });
    if (begun.failed) return false;
    /** @type {Set<Promise<void>>} */
    const onTheirWay = new Set();
    let arrived = 0;
    let failed = false;
    for (let at = 0; at < file.size && !cancelled && !failed; at += CHUNK_BYTES) {
      /** @type {ArrayBuffer} */
      let chunk;
      try {
        chunk = await file.slice(at, at + CHUNK_BYTES).arrayBuffer();
      } catch (error) {
        await form.ask("cancel");
        form.tell(`${file.name}: cannot be read (${messageOf(error)})`);
        return false;
      }
      const sent = form.ask("receive", { at }, [chunk]).then((reply) => {
        onTheirWay.delete(sent);
        failed ||= Boolean(reply.failed);
        arrived += chunk.byteLength;
        progress(arrived, file.size, `Uploading ${file.name}`);
      });
      onTheirWay.add(sent);
      if (onTheirWay.size >= IN_FLIGHT) await Promise.race(onTheirWay);
    }
    await Promise.all(onTheirWay);
    if (cancelled || failed) {
      form.ask("cancel");
      return false;
    }
    const loaded = await form.ask("load_received", { known: howKnown() });
    return !loaded.failed;
  }

  function showProgress() {
    const { name, done, total } = model.get("progress");
    if (busy && name) progress(done, total, `Loading ${name}`);
  }

  function showReports() {
    reports.replaceChildren(...model.get("shown_reports").map(({ html, ids, n_added, n_rejected }, at) => {
      const report = h("div", { className: "trt-report" });
      // Made by the package's own templates, which escape every text.
      report.insertAdjacentHTML("beforeend", html);
      if (ids.length) {
        report.append(h("div", { className: "trt-ids" }, "added: ",
          ids.map((id) => button(id.slice(0, 18) + "…", () => form.ask("show", { id }), { className: "trt-link", title: `Show ${id}` })),
          n_added > ids.length ? ` and ${n(n_added - ids.length)} more` : ""));
      }
      if (n_rejected) {
        report.append(button(`Download the rejected rows`, async () => {
          const { failed, buffers: [rows] } = await form.ask("rejected", { report: at });
          if (!failed && rows) download("rejected.jsonl", rows);
        }));
      }
      return report;
    }));
  }

  function showProposals() {
    proposals.replaceChildren(...model.get("proposals").map(({ name, line, html }, index) => {
      const first = h("details", { open: index === 0 }, h("summary", {}, "The first trace, read this way"));
      // Made by the package's own templates, which escape every text.
      first.insertAdjacentHTML("beforeend", html);
      const loading = button("Load this way", () => working(() => form.ask("load_proposed", { index })), { title: `Load ${name} by this mapping` });
      return h("div", { className: "trt-report" }, h("div", { className: "trt-row" }, h("code", { className: "trt-grow" }, line), loading), first);
    }));
  }

  const shown = h("div", { className: "trt-fetched" });
  function showFetched() {
    // Made by the package's own templates, which escape every text of a trace.
    shown.innerHTML = model.get("opened");
  }

  form.root.append(h("div", { className: "trt-parts" }, one, many), shown);
  form.on("change:text", showText);
  form.on("change:problems", showProblems);
  form.on("change:uploaded", showUploaded);
  form.on("change:progress", showProgress);
  form.on("change:shown_reports", showReports);
  form.on("change:proposals", showProposals);
  form.on("change:opened", showFetched);
  form.onClose(() => clearTimeout(typing));
  showText();
  showProblems();
  showUploaded();
  showReports();
  showProposals();
  showFetched();
  enableFiles();
  return { close: form.close, ask: form.ask };
}
