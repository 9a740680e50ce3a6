// @ts-check
// The form under "more": seed and sampling.

/** @typedef {import("../folio.js").Settings} Settings */

/** @type {{name: "seed" | "temperature" | "topP" | "topK" | "minP" | "repetitionPenalty" | "unfold", label: string, help: string, value: string, min: number, max: number, step: number}[]} */
const FIELDS = [
  { name: "seed", label: "Seed", help: "same seed, same text; empty: another each time", value: "", min: 0, max: 2 ** 32 - 1, step: 1 },
  { name: "temperature", label: "Temperature", help: "0: always the likeliest token", value: "0.8", min: 0, max: 5, step: 0.05 },
  { name: "topP", label: "Top-p", help: "1: off", value: "0.95", min: 0, max: 1, step: 0.01 },
  { name: "topK", label: "Top-k", help: "0: off", value: "0", min: 0, max: 1000, step: 1 },
  { name: "minP", label: "Min-p", help: "0: off", value: "0", min: 0, max: 1, step: 0.01 },
  { name: "repetitionPenalty", label: "Repetition penalty", help: "1: off", value: "1", min: 0.5, max: 3, step: 0.05 },
  { name: "unfold", label: "Unfold", help: "pages read again as text for each chunk; 0: off", value: "0", min: 0, max: 64, step: 1 },
];

export class SettingsForm {
  /** @type {Map<string, HTMLInputElement>} */ #inputs = new Map();
  /** What an empty field means. @type {Map<string, number>} */ #defaults = new Map();
  /** @type {Set<string>} */ #touched = new Set();

  /** @param {HTMLElement} place @param {HTMLInputElement} length */
  constructor(place, length) {
    this.length = length;
    for (const { name, label, help, value, min, max, step } of FIELDS) {
      const input = Object.assign(document.createElement("input"), { type: "number", id: `set-${name}`, value, min, max, step: step < 1 ? "any" : String(step) });
      input.placeholder = name === "seed" ? "random" : value;
      this.#defaults.set(name, Number(value));
      input.dataset.testid = name;
      input.setAttribute("aria-describedby", `help-${name}`);
      input.addEventListener("input", () => this.#touched.add(name));
      this.#inputs.set(name, input);
      place.append(field(input, label, help));
    }
    this.context = /** @type {HTMLSelectElement} */ (document.createElement("select"));
    Object.assign(this.context, { id: "set-context" });
    this.context.dataset.testid = "context";
    this.context.setAttribute("aria-describedby", "help-context");
    this.context.append(new Option("folded", "folded"), new Option("full: nothing is folded", "full"));
    place.append(field(this.context, "Context", "full: the same decoder over all the text, to compare"));
    this.ignoreEos = checkbox("ignoreEos", "Write on past the model's end sign", place, true);
    this.software = checkbox("software", "Allow a GPU in software (slow)", place, new URLSearchParams(location.search).has("software"));
  }

  /** A model's own defaults, where the reader has not chosen. @param {Partial<Settings>} defaults */
  suggest(defaults) {
    for (const [name, value] of Object.entries(defaults)) {
      const input = this.#inputs.get(name);
      if (!input || typeof value !== "number") continue;
      this.#defaults.set(name, value);
      input.placeholder = String(value);
      if (!this.#touched.has(name)) input.value = String(value);
    }
  }

  get maxNewTokens() {
    return Math.max(1, Math.round(Number(this.length.value) || 400));
  }

  /** @returns {Settings} */
  get settings() {
    const text = (/** @type {string} */ name) => this.#inputs.get(name)?.value ?? "";
    const number = (/** @type {string} */ name) => (text(name) === "" ? (this.#defaults.get(name) ?? 0) : Number(text(name)));
    const full = this.context.value === "full";
    return {
      maxNewTokens: this.maxNewTokens,
      temperature: number("temperature"),
      topK: Math.round(number("topK")),
      topP: number("topP"),
      minP: number("minP"),
      repetitionPenalty: number("repetitionPenalty"),
      ...(text("seed") === "" ? {} : { seed: Math.round(number("seed")) }),
      ignoreEos: this.ignoreEos.checked,
      context: full ? "full" : "folded",
      // Where nothing is folded there is nothing to read again.
      unfold: full ? 0 : Math.max(0, Math.round(number("unfold"))),
    };
  }
}

/** @param {HTMLElement} input @param {string} label @param {string} help */
function field(input, label, help) {
  const place = document.createElement("div");
  place.className = "field";
  const name = Object.assign(document.createElement("label"), { htmlFor: input.id, textContent: label });
  const note = Object.assign(document.createElement("span"), { id: `help-${input.id.slice(4)}`, className: "note", textContent: help });
  place.append(name, input, note);
  return place;
}

/** @param {string} name @param {string} text @param {HTMLElement} place @param {boolean} checked */
function checkbox(name, text, place, checked) {
  const label = document.createElement("label");
  label.className = "check";
  const input = Object.assign(document.createElement("input"), { type: "checkbox", checked });
  input.dataset.testid = name;
  label.append(input, text);
  place.append(label);
  return input;
}
