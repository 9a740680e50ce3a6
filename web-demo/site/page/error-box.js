// @ts-check
// An error where it arose: what happened, and what to do about it.

/** What to do, where the message cannot know what this page has to offer. @type {{[code: string]: string | ((message: string) => string)}} */
const ADVICE = {
  no_webgpu: (message) => (message.includes("is a CPU in disguise") ? "Or tick “Allow a GPU in software” under “More”: it works, slowly." : ""),
  below_floor: "Another browser or device may do.",
  too_large: "Choose a smaller model, or one that was converted to q8_0 or q4_0.",
  corrupt: "Press Write to try again; if it happens again, the files at their source are damaged.",
  device_lost: "The text is still here, and “Save session” keeps it to go on with. Write loads the model again, for a new text.",
  bad_session: "Open it with the model that wrote it, and make sure that the file is whole.",
  engine: "This is a fault of the program. Click Write to load the model again.",
  network: "Click Write to try again.",
  storage: "Under “Model” you can delete downloaded models.",
};

export class ErrorBox {
  /** @param {HTMLElement} box */
  constructor(box) {
    this.box = box;
  }

  /** @param {unknown} error */
  show(error) {
    const { code, message } = /** @type {{code?: string, message?: string}} */ (error ?? {});
    const what = document.createElement("p");
    what.textContent = sentence(message || String(error));
    const found = code ? ADVICE[code] : undefined;
    const advice = typeof found === "function" ? found(message ?? "") : found;
    this.box.replaceChildren(what);
    if (advice) this.box.append(Object.assign(document.createElement("p"), { textContent: advice, className: "advice" }));
    this.box.dataset.code = code ?? "";
    this.box.hidden = false;
  }

  clear() {
    this.box.hidden = true;
    this.box.replaceChildren();
    delete this.box.dataset.code;
  }
}

/** The library's messages are clauses, the page's are sentences. @param {string} text */
function sentence(text) {
  const first = /^[a-z]+(?=[\s,])/.test(text) ? text[0].toUpperCase() + text.slice(1) : text;
  return /[.!?]$/.test(first) ? first : `${first}.`;
}
