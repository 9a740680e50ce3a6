// @ts-check
// Choosing a model: one of the manifest, a folder of the user's, or an address. Nothing is fetched before it is needed.

import { Folio } from "../folio.js";
import { isNeeded } from "../store/sources.js";
import { inBytes } from "./scale.js";

/** @typedef {Pick<import("../folio.js").LoadOptions, "model" | "manifest" | "url" | "files">} Choice */

export class ModelPicker {
  /** @type {Choice | null} */ choice = null;
  /** Bytes of the chosen model where they are known. @type {number | null} */ bytes = null;
  /** @type {HTMLElement} */ #list = document.createElement("div");
  /** @type {HTMLButtonElement} */ #delete = document.createElement("button");

  /**
   * @param {HTMLElement} place
   * @param {HTMLElement} name where the chosen one's name is shown
   * @param {{busy: () => boolean, chosen: () => void, error: (error: unknown) => void, deleted: (bytes: number) => void, free: () => Promise<void>}} on `free`: let go of files before they are deleted
   */
  constructor(place, name, on) {
    this.name = name;
    this.on = on;
    this.#list.className = "model-list";
    place.append(this.#list, this.#folderField(), this.#urlField(), this.#deleteField());
    acceptDrops((files) => this.#pickFiles(files));
  }

  /** Reads the manifest, and takes its first model. */
  async start() {
    try {
      const { models } = await Folio.manifest();
      for (const model of models) {
        const bytes = model.files.filter(({ name }) => isNeeded(name)).reduce((sum, file) => sum + file.bytes, 0);
        const button = quiet(`${model.name} (${inBytes(bytes)})`);
        button.dataset.testid = `model-${model.id}`;
        button.onclick = () => this.#choose({ model: model.id }, model.name, bytes);
        this.#list.append(button);
        if (!this.choice) this.#choose({ model: model.id }, model.name, bytes);
      }
      if (models.length === 0) this.name.textContent = "none yet: pick a folder or an address";
    } catch (error) {
      this.name.textContent = "none";
      this.on.error(error);
    }
    await this.refresh();
  }

  async refresh() {
    const bytes = await Folio.cachedBytes();
    this.#delete.textContent = bytes > 0 ? `Delete downloaded models (${inBytes(bytes)})` : "No downloaded models in this browser";
    this.#delete.disabled = bytes === 0;
  }

  /** @param {Choice} choice @param {string} name @param {number | null} bytes */
  #choose(choice, name, bytes) {
    if (this.on.busy()) return; // files dropped while something is written
    const same = choice.model !== undefined ? choice.model === this.choice?.model : choice.url !== undefined && String(choice.url) === String(this.choice?.url);
    if (same) return; // its document, which may not be saved, stays
    this.choice = choice;
    this.bytes = bytes;
    this.name.textContent = name;
    for (const button of this.#list.querySelectorAll("button")) button.setAttribute("aria-pressed", String(button.dataset.testid === `model-${choice.model}`));
    this.on.chosen();
  }

  /** @param {File[]} files */
  #pickFiles(files) {
    if (files.length === 0) return;
    const folder = files[0].webkitRelativePath.split("/")[0];
    this.#choose({ files }, folder ? `folder ${folder}` : `${files.length} files`, null);
  }

  #folderField() {
    const input = Object.assign(document.createElement("input"), { type: "file", id: "folder", multiple: true, webkitdirectory: true, className: "visually-hidden" });
    input.dataset.testid = "folder";
    input.onchange = () => {
      this.#pickFiles([...(input.files ?? [])]);
      input.value = ""; // the same folder may be picked again
    };
    const label = Object.assign(document.createElement("label"), { htmlFor: "folder", className: "quiet button", textContent: "A folder on this device…" });
    const note = Object.assign(document.createElement("span"), { className: "note", textContent: "or drop its files anywhere on this page; they stay where they are" });
    const row = document.createElement("div");
    row.className = "row";
    row.append(input, label, note);
    return row;
  }

  #urlField() {
    const row = document.createElement("div");
    row.className = "row";
    const input = Object.assign(document.createElement("input"), { type: "text", inputMode: "url", autocapitalize: "off", spellcheck: false, id: "url", placeholder: "https://… a folder with config.json" });
    input.dataset.testid = "url";
    const label = Object.assign(document.createElement("label"), { htmlFor: "url", textContent: "An address" });
    const button = quiet("Use it");
    button.dataset.testid = "use-url";
    const use = () => {
      if (input.value.trim() === "") return input.focus();
      if (!URL.canParse(input.value, location.href)) return this.on.error(new Error(`“${input.value}” is not an address; it should look like https://example.org/models/my-model/`));
      this.#choose({ url: new URL(input.value, location.href) }, input.value, null);
    };
    button.onclick = use;
    // Enter in this field means this field, not the form around it.
    input.onkeydown = (event) => {
      if (event.key !== "Enter") return;
      event.preventDefault();
      use();
    };
    row.append(label, input, button);
    return row;
  }

  #deleteField() {
    this.#delete.type = "button";
    this.#delete.className = "quiet";
    this.#delete.dataset.testid = "delete-models";
    this.#delete.onclick = async () => {
      try {
        const bytes = await Folio.cachedBytes();
        await this.on.free();
        await Folio.deleteCache();
        this.on.deleted(bytes);
      } catch (error) {
        this.on.error(error);
      }
      await this.refresh();
    };
    const row = document.createElement("div");
    row.className = "row";
    row.append(this.#delete);
    return row;
  }
}

/** @param {string} text */
function quiet(text) {
  return Object.assign(document.createElement("button"), { type: "button", className: "quiet", textContent: text });
}

/** @param {(files: File[]) => void} take */
function acceptDrops(take) {
  addEventListener("dragover", (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    document.body.classList.add("dropping");
  });
  addEventListener("dragleave", (event) => event.relatedTarget === null && document.body.classList.remove("dropping"));
  addEventListener("drop", async (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    document.body.classList.remove("dropping");
    // Entries have to be asked for before the first await: then the drop's data are gone.
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry());
    const files = await Promise.all(entries.map((entry) => (entry ? filesOf(entry) : [])));
    take(files.flat());
  });
}

/** A dropped file, or the files of a dropped folder (not of its subfolders). @param {FileSystemEntry} entry @returns {Promise<File[]>} */
async function filesOf(entry) {
  if (entry.isFile) return [await new Promise((resolve, reject) => /** @type {FileSystemFileEntry} */ (entry).file(resolve, reject))];
  const reader = /** @type {FileSystemDirectoryEntry} */ (entry).createReader();
  /** @type {File[]} */ const files = [];
  for (;;) {
    /** @type {FileSystemEntry[]} */ const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (some.length === 0) return files;
    for (const inside of some) if (inside.isFile) files.push(...(await filesOf(inside)));
  }
}
