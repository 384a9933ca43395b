// Traces in: files from this computer in chunks, a path on the kernel's machine, one trace as JSON in the editor.

const CHUNK_BYTES = 512 * 1024; // some hosts lose messages from about a megabyte
const IN_FLIGHT = 4; // chunks that are on their way at once
const EDITOR_MAX = 2 ** 20; // characters; more is a file's work, and hosts lose messages of 10 MB
const MOST_FILES = 10 * 1000; // their names go in one message
const CHECK_MS = 250; // a pause in typing that means "is this right?"
const ENCODINGS = ["utf-16", "utf-32", "windows-1252", "latin-1", "gb18030", "shift_jis"];

/**
 * @typedef {object} OwnUploadTraits
 * @property {string[]} examples
 * @property {string} text the JSON in the editor
 * @property {EditorProblem[]} problems
 * @property {string} uploaded the id of the trace that was uploaded last, or ""
 * @property {{name?: string, done: number, total: number}} progress
 * @property {ShownReport[]} shown_reports
 * @property {ShownUnread} shown_unread
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
 * Files of no known format, or nothing: what their fields can be chosen for, and the first rows read that way.
 * @typedef {{name?: string, n_files: number, choices: Choice[], targets: Target[], proposals: Proposal[],
 *   rows: PreviewRow[], said: string, can_add: boolean}} ShownUnread
 */

/** @typedef {{text: string, given: unknown}} Choice a field, or fields, as a mapping names them */
/** @typedef {{target: string, label: string, chosen: number}} Target `chosen` is the index of its choice, or -1 */
/** @typedef {{line: string, mapping: {[target: string]: unknown}}} Proposal */
/** @typedef {{prompt: string, steps: string, answer: string, meta: string, problem: string}} PreviewRow */
/** @typedef {{name: string, file: File}} Chosen a file of this computer; of a folder, the name is its path in it */
/** @typedef {{name: string, size: number}} SentFile */
/** @typedef {"turn" | null} Split */

/**
 * @typedef {object} UploadActions
 * @property {(args: {name: string}) => object} load_example
 * @property {(args: {text: string}) => object} upload
 * @property {() => object} fetch
 * @property {(args: {files: SentFile[]}) => {wanted: number[]}} begin
 * @property {(args: {file: number, at: number}) => object} receive with a buffer: the part that begins at this byte
 * @property {(args: {known: Known, split: Split, encoding: string | null}) => object} load_received
 * @property {(args: {path: string, known: Known, split: Split, encoding: string | null}) => object} load_path
 * @property {(args: {mapping: object}) => object} map_fields
 * @property {() => object} load_mapped
 * @property {() => object} leave_out
 * @property {() => object} cancel
 * @property {(args: {report: number}) => object} rejected replies with a buffer: JSON Lines
 * @property {(args: {id: string}) => object} show
 */

/** @typedef {"skip" | "add"} Known */

/** @param {Context<UploadTraits>} context */
function uploadForm({ model, el }) {
  /** @type {View<UploadActions>} */
  const form = openView(model, el, { label: "Add traces" });

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
  const send = button("Add this trace", () => {
    flush();
    // Sent with the request: the host delays traits while others are being sent.
    return form.ask("upload", { text: area.value });
  }, { className: "trt-first" });
  const fetchBack = button("Show it", () => form.ask("fetch"));
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
      ? [{ reason: `${n(area.value.length)} characters are too many for the editor. Save the text as a file, and add the file.` }]
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
    success.replaceChildren(...(id ? [h("span", { "aria-hidden": "true" }, "✓ "), "Added: ", h("code", {}, id)] : []));
    enable();
  }

  const one = h("div", { className: "trt-part" },
    h("div", { className: "trt-row" }, h("span", { className: "trt-says" }, "One trace, as JSON"), h("span", { className: "trt-row trt-end" }, choice, load)),
    area, faults,
    h("div", { className: "trt-row" }, send, fetchBack, success));

  // Files.
  const picker = h("input", { type: "file", multiple: true, className: "trt-visually-hidden", tabIndex: -1, "aria-hidden": "true" });
  const folderPicker = h("input", { type: "file", webkitdirectory: true, className: "trt-visually-hidden", tabIndex: -1, "aria-hidden": "true" });
  const pick = button("Choose files …", () => picker.click(), { className: "trt-first" });
  const pickFolder = button("Choose a folder …", () => folderPicker.click());
  const drop = h("div", { className: "trt-drop" },
    h("strong", {}, "Drop files or folders here"),
    h("div", { className: "trt-row" }, pick, pickFolder),
    h("span", {}, "JSON, JSON Lines, Parquet, CSV, Arrow, .eval, archives, compressed or not, of any size"), picker, folderPicker);
  for (const input of [picker, folderPicker]) input.addEventListener("change", async () => {
    const files = [...(input.files ?? [])].map((file) => ({ name: file.webkitRelativePath || file.name, file }));
    input.value = "";
    await takeFiles(() => files);
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
    // Now: when the event is over, the browser has nothing of them any more.
    const entries = [...(event.dataTransfer?.items ?? [])].map((item) => item.webkitGetAsEntry()).filter((entry) => entry !== null);
    const files = [...(event.dataTransfer?.files ?? [])].map((file) => ({ name: file.name, file }));
    takeFiles(() => (entries.length ? filesIn(entries) : files));
  });

  /**
   * The files that were dropped, and those in the folders among them.
   * @param {FileSystemEntry[]} entries
   */
  async function filesIn(entries) {
    /** @type {Chosen[]} */
    const found = [];
    const left = [...entries].reverse();
    while (left.length && !cancelled && found.length <= MOST_FILES) {
      const entry = /** @type {FileSystemEntry} */ (left.pop());
      if (entry.isFile) {
        const { name, fullPath } = entry;
        const file = await new Promise((resolve, reject) => /** @type {FileSystemFileEntry} */ (entry).file(resolve, reject));
        found.push({ name: entries.includes(entry) ? name : fullPath.slice(1), file });
        continue;
      }
      const reader = /** @type {FileSystemDirectoryEntry} */ (entry).createReader();
      /** @type {FileSystemEntry[]} */
      let some;
      // A browser gives a hundred at a time.
      do {
        some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
        left.push(...some);
      } while (some.length && left.length <= MOST_FILES);
    }
    return found;
  }

  const path = h("input", { type: "text", placeholder: "runs/*.jsonl", "aria-label": "File, folder or pattern on the kernel's machine", spellcheck: false });
  const take = button("Add", loadPath, { title: "Add the traces of a file, a folder or a pattern on the kernel's machine" });
  path.addEventListener("input", () => enableFiles());
  path.addEventListener("keydown", (event) => event.key === "Enter" && !take.disabled && take.click());
  const kept = h("input", { type: "checkbox" });
  const known = h("label", { className: "trt-check", title: "Traces that are already stored are added a second time" }, kept, "add again what is already stored");
  const split = h("select", { "aria-label": "A session of an agent" },
    h("option", { value: "" }, "one trace for each session"), h("option", { value: "turn" }, "one trace for each turn"));
  const encoding = h("select", { "aria-label": "Encoding of the texts" },
    h("option", { value: "" }, "UTF-8"), ENCODINGS.map((name) => h("option", { value: name }, name)));

  const bar = h("progress", { max: 1, value: 0, "aria-label": "Progress" });
  const doing = h("span", { className: "trt-place" });
  const cancel = button("Cancel", () => {
    cancelled = true;
    return form.ask("cancel");
  });
  const work = h("div", { className: "trt-work", hidden: true }, h("div", { className: "trt-row" }, bar, cancel), doing);
  const reports = h("div", { className: "trt-reports", "aria-live": "polite" });
  const unread = h("div", { className: "trt-reports", role: "group", "aria-label": "What the fields are", hidden: true });
  const many = h("div", { className: "trt-part" },
    drop,
    h("div", { className: "trt-row" }, h("span", {}, "or on the kernel's machine"), h("span", { className: "trt-grow" }, path), take),
    h("div", { className: "trt-row trt-choices" }, split, encoding, known),
    work);
  const results = h("div", { className: "trt-part trt-results" }, unread, reports);

  let busy = false;
  let cancelled = false;
  function enableFiles() {
    for (const control of [pick, pickFolder, kept, split, encoding]) control.disabled = busy;
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
      showUnread();
    }
  }

  /** @param {number} done @param {number} total @param {string} text */
  function progress(done, total, text) {
    if (total) bar.value = done / total;
    else bar.removeAttribute("value");
    doing.textContent = total ? `${text} · ${bytes(done)} of ${bytes(total)}` : text;
  }

  /** @returns {{known: Known, split: Split, encoding: string | null}} */
  const how = () => ({ known: kept.checked ? "add" : "skip", split: split.value === "turn" ? "turn" : null, encoding: encoding.value || null });

  function loadPath() {
    return working(() => form.ask("load_path", { path: path.value.trim(), ...how() }));
  }

  /** @param {() => Chosen[] | Promise<Chosen[]>} choose */
  function takeFiles(choose) {
    return working(async () => {
      try {
        const files = await choose();
        if (cancelled || !files.length) return;
        if (files.length > MOST_FILES) {
          return form.tell(`More than ${n(MOST_FILES)} files are too many to send. Add them by the path of their folder, or packed as one .zip or .tar.`);
        }
        await sendFiles(files.sort((a, b) => (a.name < b.name ? -1 : 1)));
      } catch (error) {
        await form.ask("cancel");
        form.tell(`${messageOf(error)}; nothing was added`);
      }
    });
  }

  /**
   * Sends files in chunks, a few ahead of what has arrived, and has them loaded.
   * @param {Chosen[]} files
   */
  async function sendFiles(files) {
    const begun = await form.ask("begin", { files: files.map(({ name, file }) => ({ name, size: file.size })) });
    if (begun.failed) return;
    const wanted = begun.wanted.map((index) => /** @type {Chosen} */ (files[index]));
    const size = wanted.reduce((sum, { file }) => sum + file.size, 0);
    /** @type {Set<Promise<void>>} */
    const onTheirWay = new Set();
    let arrived = 0;
    let failed = false;
    for (const [index, { name, file }] of wanted.entries()) {
      const told = wanted.length > 1 ? `Sending ${name} (${n(index + 1)} of ${n(wanted.length)})` : `Sending ${name}`;
      for (let at = 0; at < file.size && !cancelled && !failed; at += CHUNK_BYTES) {
        const chunk = await file.slice(at, at + CHUNK_BYTES).arrayBuffer().catch((error) => {
          throw new Error(`${name}: cannot be read (${messageOf(error)})`);
        });
        const sent = form.ask("receive", { file: index, at }, [chunk]).then((reply) => {
          onTheirWay.delete(sent);
          failed ||= Boolean(reply.failed);
          arrived += chunk.byteLength;
          progress(arrived, size, told);
        });
        onTheirWay.add(sent);
        if (onTheirWay.size >= IN_FLIGHT) await Promise.race(onTheirWay);
      }
    }
    await Promise.all(onTheirWay);
    await (cancelled || failed ? form.ask("cancel") : form.ask("load_received", how()));
  }

  function showProgress() {
    const { name, done, total } = model.get("progress");
    if (busy && name) progress(done, total, `Adding from ${name}`);
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

  function showUnread() {
    /** @type {ShownUnread} */
    const { name, n_files, choices, targets, proposals: ways, rows, said, can_add } = model.get("shown_unread");
    const focused = unread.contains(document.activeElement) ? document.activeElement?.getAttribute("aria-label") : null;
    unread.hidden = !name;
    if (!name) return unread.replaceChildren();
    const chosen = Object.fromEntries(targets.filter(({ chosen: at }) => at >= 0).map(({ target, chosen: at }) => [target, choices[at]?.given]));
    /** @param {{[target: string]: unknown}} mapping */
    const map = (mapping) => form.ask("map_fields", { mapping });
    const selects = targets.map(({ target, label, chosen: at }) => {
      const select = h("select", { "aria-label": label, className: at >= 0 ? "trt-chosen" : "" }, h("option", { value: "-1" }, "–"),
        choices.map(({ text }, index) => h("option", { value: String(index) }, text)));
      select.value = String(at);
      select.addEventListener("change", () => {
        const others = Object.fromEntries(Object.entries(chosen).filter(([other]) => other !== target));
        const given = choices[Number(select.value)]?.given;
        // The newest is the last: of two that cannot be combined it stays.
        return map(given === undefined ? others : { ...others, [target]: given });
      });
      return field(label, select);
    });
    const isProposed = (/** @type {Proposal} */ { mapping }) => JSON.stringify(mapping) === JSON.stringify(chosen);
    const add = button(n_files > 1 ? `Add these ${n(n_files)} files` : "Add this file", () => working(() => form.ask("load_mapped")), { className: "trt-first", disabled: busy || !can_add });
    const leave = button("Leave out", () => form.ask("leave_out"), { title: `Add nothing of ${name}` });
    unread.replaceChildren(
      h("div", {}, h("strong", {}, name), ": of no known format. Choose what its fields are; what is not chosen is kept in meta."),
      ways.length ? h("div", { className: "trt-chips" }, h("span", { className: "trt-says" }, "It may be"), ways.map((way) =>
        button(way.line, () => map(way.mapping), { className: "trt-chip", "aria-pressed": String(isProposed(way)) }))) : "",
      h("div", { className: "trt-targets" }, selects),
      h("div", { className: "trt-says", role: "status" }, said),
      rows.length ? previewOf(rows) : "",
      h("div", { className: "trt-row" }, add, leave));
    if (focused) /** @type {HTMLElement | null} */ (unread.querySelector(`[aria-label="${CSS.escape(focused)}"]`))?.focus();
  }

  /**
   * The first rows as they would be stored.
   * @param {PreviewRow[]} rows
   */
  function previewOf(rows) {
    const columns = /** @type {const} */ (["prompt", "steps", "answer", "meta"]);
    return h("div", { className: "trt-scrolled" }, h("table", { className: "trt-preview-of" },
      h("thead", {}, h("tr", {}, columns.map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, rows.map((row) => h("tr", {}, row.problem
        ? h("td", { colSpan: columns.length }, h("span", { "aria-hidden": "true" }, "⚠ "), row.problem)
        : columns.map((name) => h("td", { dir: "auto" }, row[name] || "–")))))));
  }

  const shown = h("div", { className: "trt-fetched" });
  function showFetched() {
    // Made by the package's own templates, which escape every text of a trace.
    shown.innerHTML = model.get("opened");
  }

  form.root.append(h("div", { className: "trt-parts" }, many, results, one), shown);
  form.on("change:text", showText);
  form.on("change:problems", showProblems);
  form.on("change:uploaded", showUploaded);
  form.on("change:progress", showProgress);
  form.on("change:shown_reports", showReports);
  form.on("change:shown_unread", showUnread);
  form.on("change:opened", showFetched);
  form.onClose(() => clearTimeout(typing));
  showText();
  showProblems();
  showUploaded();
  showReports();
  showUnread();
  showFetched();
  enableFiles();
  return { close: form.close, ask: form.ask };
}
