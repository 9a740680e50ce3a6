// @ts-check
// The one kind of error that the library throws: a code to act on, and a message that says what is wrong, where, and
// what to do about it.

/** @typedef {import("./folio.js").ErrorCode} ErrorCode */

/** @type {ReadonlySet<string>} */
const CODES = new Set([
  "no_webgpu", "below_floor", "too_large", "corrupt", "device_lost", "bad_session", "bad_argument", "engine", "network", "storage",
]);

export class FolioError extends Error {
  /**
   * @param {ErrorCode} code
   * @param {string} message
   * @param {ErrorOptions} [options]
   */
  constructor(code, message, options) {
    super(message, options);
    this.name = "FolioError";
    /** @type {ErrorCode} */
    this.code = code;
  }
}

/**
 * Anything thrown, as a FolioError. The engine's errors carry a `code`; what has none is an error of the program.
 * @param {unknown} thrown
 * @param {ErrorCode} [otherwise]
 * @returns {FolioError}
 */
export function asFolioError(thrown, otherwise = "engine") {
  if (thrown instanceof FolioError) return thrown;
  const { code, message } = /** @type {{code?: unknown, message?: unknown}} */ (thrown ?? {});
  const known = typeof code === "string" && CODES.has(code);
  const text = typeof message === "string" && message ? message : String(thrown);
  return new FolioError(/** @type {ErrorCode} */ (known ? code : otherwise), text, { cause: thrown });
}

/**
 * What crosses from the worker to the page: `postMessage` keeps an Error's message, but not its code.
 * @param {unknown} thrown
 * @returns {{code: ErrorCode, message: string}}
 */
export function packError(thrown) {
  const { code, message } = asFolioError(thrown);
  return { code, message };
}
