// @ts-check
// An error where it arose: what happened, and what to do about it.

/** What to do, where the message cannot know what this page has to offer. @type {{[code: string]: string}} */
const ADVICE = {
  no_webgpu: "Folio needs WebGPU: a current Chrome, Edge, Safari or Firefox on a device with a graphics card. Where there is none, tick “Allow a GPU in software” under “More”.",
  below_floor: "Another browser or device may do; so may “Allow a GPU in software” under “More”, slowly.",
  too_large: "Choose a smaller model, or one that was converted to q8_0 or q4_0.",
  corrupt: "Write does so. If that gives the same, close all tabs of this page and open it again, in case it has been updated; else the files on the server are wrong.",
  device_lost: "The text is still here. Click Write to load the model again.",
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
    const advice = code && ADVICE[code];
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
