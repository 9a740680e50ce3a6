// @ts-check
// The page: what its buttons do, and what it says about the state of things.

import { Folio } from "../folio.js";
import { ContextChart, SpeedChart } from "./chart.js";
import { DocumentView } from "./document.js";
import { ErrorBox } from "./error-box.js";
import { LoadProgress } from "./load-progress.js";
import { ModelPicker } from "./models.js";
import { keepOffline } from "./offline.js";
import { PageStrip } from "./pages.js";
import { report } from "./report.js";
import { SAMPLES } from "./samples.js";
import { inBytes, inThousands } from "./scale.js";
import { SettingsForm } from "./settings.js";
import { TextView } from "./text.js";
import { setUpTheme } from "./theme.js";
import { Viewer } from "./viewer.js";

/** @param {string} id @returns {any} */
const get = (id) => document.getElementById(id);

/** @type {HTMLTextAreaElement} */ const prompt = get("prompt");
const text = new TextView(get("text"));
const pages = new PageStrip(
  { strip: get("pages"), newest: get("newest"), count: get("pages-count"), none: get("pages-none") },
  { point, open: (page) => viewer.open(page) },
);
const viewer = new Viewer(() => pages.leaves);
const chart = new ContextChart(get("chart"), get("legend"));
const speed = new SpeedChart(get("speed"));
const view = new DocumentView({ text, pages, chart, speed, stats: get("stats") });
const form = new SettingsForm(get("sampling"), get("length"));
const errors = new ErrorBox(get("error"));
const progress = new LoadProgress({ box: get("progress"), bar: get("progress-bar"), text: get("progress-text"), cancel: get("cancel-load") });

/** @type {Folio | null} */ let folio = null;
/** @type {"idle" | "loading" | "writing"} */ let state = "idle";
let hasDocument = false;
let canGoOn = false;
/** The engine failed in mid-text: it can still be saved from, not written with. */
let broken = false;

const models = new ModelPicker(get("models"), get("model-name"), {
  busy: () => state !== "idle",
  chosen: () => void letGo().then(() => errors.clear()).then(() => say(models.bytes === null ? "The first click on Write reads the model." : `The first click on Write fetches the model, ${inBytes(models.bytes)}, unless it is here already.`)),
  error: (error) => errors.show(error),
  deleted: (bytes) => say(`${inBytes(bytes)} of downloaded models deleted.`),
  free: letGo,
});

/** Says what has happened, to eyes and to screen readers: states, not tokens. @param {string} words */
function say(words) {
  get("prompt-note").textContent = words;
}

/** @param {typeof state} next */
function become(next) {
  state = next;
  report.state = next;
  const busy = next !== "idle";
  const focused = document.activeElement;
  get("write").disabled = busy;
  get("stop").disabled = next !== "writing";
  get("go-on").disabled = busy || !canGoOn || !folio;
  get("save").disabled = !folio || !hasDocument || next === "loading";
  get("open").disabled = busy;
  get("model-drawer").inert = busy;
  get("desk").classList.toggle("writing", next === "writing");
  // A button that is switched off would take the keyboard's place in the page with it.
  if (focused instanceof HTMLButtonElement && (focused.disabled || focused.closest("[hidden]"))) {
    const heir = { idle: canGoOn && folio ? "go-on" : "write", loading: "cancel-load", writing: "stop" }[next];
    get(heir).focus({ preventScroll: true });
  }
}

/** Frees the model, and with it the document that it holds. */
async function letGo() {
  const old = folio;
  folio = null;
  hasDocument = canGoOn = broken = false;
  become(state);
  await old?.dispose();
  Object.assign(window, { folio: null });
}

/** The model, loaded when it is first needed. @returns {Promise<Folio>} */
async function model() {
  if (folio && !broken) return folio;
  if (!models.choice) throw new Error("No model is chosen: pick one under “Model”.");
  const signal = progress.start();
  become("loading");
  say("Loading the model.");
  try {
    if (broken) await letGo();
    folio = await Folio.load({ ...models.choice, software: form.software.checked, signal, onProgress: (step) => progress.show(step) });
  } finally {
    progress.end();
    models.refresh();
  }
  Object.assign(window, { folio });
  form.suggest(folio.defaults);
  const { name, software, backend } = folio.device();
  const { parameters, weightBytes } = folio.info;
  get("device").textContent = `Device: ${name} (${backend}${software ? ", in software: slow" : ""}). Model: ${folio.info.name}, ${inThousands(parameters / 1e5) === "0" ? parameters : `${(parameters / 1e6).toFixed(1)} M`} parameters, ${inBytes(weightBytes)} of weights.`;
  return folio;
}

/**
 * Loads what is missing, runs a generation to its end, and says how it ended.
 * @param {(folio: Folio) => import("../folio.js").Events} start
 * @param {boolean} sameDocument
 */
async function write(start, sameDocument) {
  const clickedAt = performance.now();
  errors.clear();
  try {
    view.start(clickedAt, sameDocument);
    const loaded = await model();
    become("writing");
    say("Writing.");
    for await (const event of start(loaded)) {
      if (!hasDocument) {
        hasDocument = true;
        become("writing"); // Save is of use from here on
      }
      view.take(event);
    }
    report.counts = await loaded.counts();
    report.wasmBytes = report.counts.wasmBytes;
    canGoOn = report.reason !== "context_full";
    say(ending());
  } catch (error) {
    failed(error);
  }
  view.end();
  become("idle");
}

/** @param {unknown} error */
function failed(error) {
  const { name, code } = /** @type {{name?: string, code?: string}} */ (error);
  if (name === "AbortError") return say("Loading was cancelled; what has arrived is kept.");
  say("");
  errors.show(error);
  // After these the engine is in no state to go on. It still holds the text, until the next click loads it again.
  if (folio && (code === "engine" || code === "device_lost" || code === "too_large")) {
    broken = true;
    canGoOn = false;
  }
}

/** @returns {string} */
function ending() {
  const count = `${inThousands(report.tokens.length)} tokens, ${inThousands(report.folds)} ${report.folds === 1 ? "page" : "pages"}`;
  switch (report.reason) {
    case "cancelled":
      return `Stopped after ${count}.`;
    case "eos":
      return `The model ended its text: ${count}.`;
    case "context_full":
      return `The context is full: ${count}. Begin another text.`;
    default:
      return `Done: ${count}. “Go on” writes more.`;
  }
}

/** @type {ReturnType<typeof setTimeout> | undefined} */ let revealing;

/** A page and its text are marked together. Where one is out of sight it is brought into it, but not while the text runs. @param {number} page @param {boolean} on */
function point(page, on) {
  text.highlight(page, on);
  pages.highlight(page, on);
  clearTimeout(revealing);
  if (!on || state !== "idle") return;
  revealing = setTimeout(() => {
    if (box.matches(":hover")) pages.reveal(page);
    else text.reveal(page);
  }, 250);
}

get("desk").addEventListener("submit", (/** @type {SubmitEvent} */ event) => {
  event.preventDefault();
  if (state !== "idle") return;
  viewer.close();
  const given = prompt.value;
  canGoOn = false;
  write((folio) => {
    view.begin(folio.info, given);
    return folio.generate(given, form.settings);
  }, false);
});
// A wrong number in a closed drawer must be seen, or Write would do nothing.
get("desk").addEventListener("invalid", (/** @type {Event} */ event) => (/** @type {Element} */ (event.target)).closest("details")?.setAttribute("open", ""), true);
prompt.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) get("desk").requestSubmit();
});
get("stop").onclick = () => folio?.abort();
get("go-on").onclick = () => write((folio) => folio.resume(form.maxNewTokens), true);

get("save").onclick = async () => {
  try {
    const saved = await folio?.save();
    if (!saved) return;
    const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(saved), download: "folio-session.json" });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
    if (state === "idle") say(`The session is saved: ${inBytes(saved.size)}.`);
  } catch (error) {
    errors.show(error);
  }
};
get("open").onchange = () => {
  const file = get("open").files[0];
  get("open").value = ""; // the same file may be opened again
  if (!file || state !== "idle") return;
  write((folio) => opened(folio, file), false);
};

/** A session's events. The former text stays in sight until the file has proved to be one. @param {Folio} folio @param {File} file @returns {import("../folio.js").Events} */
async function* opened(folio, file) {
  let begun = false;
  for await (const event of folio.restore(file, { maxNewTokens: form.maxNewTokens })) {
    if (!begun) view.begin(folio.info, "");
    begun = true;
    yield event;
  }
}

const box = get("text");
/** @type {number | null} */ let pointed = null;
box.addEventListener("mouseover", (/** @type {MouseEvent} */ event) => mark(pageAt(event)));
box.addEventListener("mouseleave", () => mark(null));
box.addEventListener("click", (/** @type {MouseEvent} */ event) => {
  const page = pageAt(event);
  if (page !== null && getSelection()?.isCollapsed) viewer.open(page);
});
/** @param {MouseEvent} event @returns {number | null} */
function pageAt({ target }) {
  const run = target instanceof Element ? /** @type {HTMLElement | null} */ (target.closest("[data-page]")) : null;
  return run ? Number(run.dataset.page) : null;
}
/** @param {number | null} page */
function mark(page) {
  if (page === pointed) return;
  if (pointed !== null) point(pointed, false);
  if (page !== null) point(page, true);
  pointed = page;
}

for (const { name, text } of SAMPLES) {
  const button = Object.assign(document.createElement("button"), { type: "button", className: "quiet", textContent: name });
  button.onclick = () => {
    prompt.value = text;
    prompt.focus();
    prompt.setSelectionRange(0, 0);
    prompt.scrollTop = 0;
  };
  get("samples").append(button);
}
prompt.value ||= SAMPLES[0].text;
setUpTheme(get("theme"), () => {
  chart.redraw();
  speed.redraw();
});
become("idle");
models.start();
keepOffline(get("offline"));
