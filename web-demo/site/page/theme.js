// @ts-check
// Light, dark, or what the system says.

const NAMES = { "": "Theme: system", light: "Theme: light", dark: "Theme: dark" };
/** @typedef {keyof typeof NAMES} Theme */
/** @type {Theme[]} */
const ORDER = ["", "light", "dark"];

/** @param {HTMLButtonElement} button @param {() => void} onChange called when colours have changed, by hand or by the system */
export function setUpTheme(button, onChange) {
  const root = document.documentElement;
  const now = () => /** @type {Theme} */ (root.dataset.theme ?? "");
  const label = () => (button.textContent = NAMES[now()]);
  label();
  button.onclick = () => {
    const next = ORDER[(ORDER.indexOf(now()) + 1) % ORDER.length];
    if (next) root.dataset.theme = next;
    else delete root.dataset.theme;
    try {
      localStorage.setItem("folio-theme", next);
    } catch {
      // it then lasts until the page is left
    }
    label();
    onChange();
  };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", onChange);
}
