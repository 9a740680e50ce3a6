/** Folio in a browser: a language model that folds its finished text into pages. Everything runs in one Web Worker. */

export type ErrorCode =
  /** The browser has no WebGPU, or gives no adapter. */
  | "no_webgpu"
  /** There is an adapter, and it lacks what the kernels need. */
  | "below_floor"
  /** The model does not fit; the message names the numbers. */
  | "too_large"
  /** A file is not what it should be (size, SHA-256, contents). A downloaded file has been deleted from the cache. */
  | "corrupt"
  /** The GPU went away and could not be had again. Losses that recover are not reported. */
  | "device_lost"
  /** A saved session that is damaged, too large to be one, or that another model wrote. */
  | "bad_session"
  | "bad_argument"
  /** A fault of the program. The model is unusable afterwards: dispose and load again. */
  | "engine"
  /** A file could not be fetched. What has arrived is kept; the next load goes on from there. */
  | "network"
  /** The browser's storage refused: full, or in use by another tab. */
  | "storage";

export class FolioError extends Error {
  readonly code: ErrorCode;
  constructor(code: ErrorCode, message: string, options?: ErrorOptions);
}

/** One file of a model as a manifest lists it. */
export interface ManifestFile { name: string; bytes: number; sha256: string }
export interface ManifestModel { id: string; name: string; path: string; files: ManifestFile[] }
export interface Manifest { models: ManifestModel[] }

export type Progress =
  /** Bytes of all files of the model; `total` is null while a size is unknown. */
  | { what: "downloading"; done: number; total: number | null }
  /** Another tab is downloading the same model; this one waits and then reads its copy. */
  | { what: "waiting for another tab" }
  /** `share` of the step, 0 to 1. */
  | { what: "testing the GPU" | "loading" | "compiling"; share: number };

export interface LoadOptions {
  /** Id of a model in the manifest. */
  model?: string;
  /** The manifest, or where it is; `manifest.json` beside this file by default. Its `path`s count from there. */
  manifest?: string | URL | Manifest;
  /** A folder on the web with config.json, tokenizer.json and safetensors. */
  url?: string | URL;
  /** The same files, picked or dropped by the user. They are read in place and never copied. */
  files?: Iterable<File>;
  onProgress?: (progress: Progress) => void;
  /** Aborting ends the load with the signal's AbortError; what has arrived is kept. */
  signal?: AbortSignal;
  /** Take a GPU in software where there is no other; `false` refuses it before anything is downloaded. */
  software?: boolean;
  /** Upper bound of GPU memory in bytes. */
  memoryBytes?: number;
  /** Slots of context to make room for. */
  slots?: number;
}

export interface Settings {
  maxNewTokens: number;
  /** 0, or left out: always the likeliest token. */
  temperature?: number;
  /** 0, or left out: off. So are minP 0, topP 1 and repetitionPenalty 1. */
  topK?: number;
  topP?: number;
  minP?: number;
  repetitionPenalty?: number;
  /** Random when left out. */
  seed?: number;
  ignoreEos?: boolean;
  stop?: string[];
  context?: "folded" | "full";
  /** Pages that attention asks for most, read again as text for each chunk that is written. 0, or left out: off. */
  unfold?: number;
}

export interface ModelInfo {
  name: string;
  parameters: number;
  weightBytes: number;
  /** KV bytes of one slot, all layers. */
  kvBytesPerSlot: number;
  /** K: text tokens of a chunk, at most. */
  chunkTokens: number;
  /** β: visual tokens of a page, at most. */
  visualTokens: number;
  maxSlots: number;
  vocabSize: number;
  device: string;
  pageWidth: number;
  pageHeight: number;
  adapter: AdapterReport;
}

export interface AdapterReport {
  name: string;
  backend: string;
  software: boolean;
  subgroups: boolean;
  bindingBytes: number;
  /** What the adapter lacks, or null. */
  lacks: string | null;
}

export interface Counts {
  dispatches: number;
  submits: number;
  readbackBytes: number;
  buffers: number;
  bufferBytes: number;
  kvBytes: number;
  /** Size of the WASM memory. */
  wasmBytes: number;
}

export type Event =
  /** First event of `restore`: the document as it was saved. */
  | { type: "text"; text: string }
  /** Tokens of the given text (or of a restored document) that were read. */
  | { type: "loading"; done: number; total: number }
  | {
      type: "token";
      id: number;
      text: string;
      logprob: number;
      /** Slots held now. */
      slots: number;
      /** BOS, prompt and response in tokens: the slots that an unfolded context would hold. */
      tokens: number;
      /** When the worker had it, in ms since 1970. */
      at: number;
    }
  /** `text` is exactly the text that the page replaces; `png` is the page as the encoder sees it, 8-bit grey. */
  | { type: "page"; index: number; text: string; width: number; height: number; png: Uint8Array<ArrayBuffer> }
  /** The page is in the context: `tokens` of text became `slots`; `contextSlots` are held now. */
  | { type: "folded"; index: number; tokens: number; slots: number; contextSlots: number }
  /** `pages` were read again as text for the next chunk, with the last tokens before it: `tokens` in all. */
  | { type: "unfolded"; pages: number[]; tokens: number; contextSlots: number }
  | { type: "stats"; stats: Record<string, unknown> }
  /** `text`: what had been held back as a possible beginning of a stop string; append it. */
  | { type: "done"; reason: "length" | "eos" | "stop" | "context_full" | "cancelled"; text: string };

/** Events as they come. Leaving the loop (`break`) stops the generation. */
export type Events = AsyncIterableIterator<Event>;

export class Folio {
  static load(options: LoadOptions): Promise<Folio>;
  /** Models of a manifest. */
  static manifest(at?: string | URL): Promise<Manifest>;
  /** Bytes of downloaded models in this browser; 0 where nothing can be kept. */
  static cachedBytes(): Promise<number>;
  /** Deletes all downloaded models. */
  static deleteCache(): Promise<void>;

  readonly info: ModelInfo;
  /** What the model's generation_config.json asks for, as far as it says. */
  readonly defaults: Partial<Settings>;

  /** Starts a new document. One generation at a time. */
  generate(prompt: string, settings: Settings): Events;
  /** Goes on with the same document after `done`. */
  resume(maxNewTokens: number): Events;
  /** Continues a saved session; its first event is the text so far. */
  restore(saved: Blob, settings: { maxNewTokens: number }): Events;
  /** Stops the running generation: it ends with `stats` and `done`. Resolves when it has. */
  abort(): Promise<void>;
  /** The folded session: kilobytes, the format of `folio --save-session`. Also while a generation runs. */
  save(): Promise<Blob>;
  counts(): Promise<Counts>;
  device(): AdapterReport;
  /** Destroys the GPU device, to test that the loss is survived. */
  loseDevice(): Promise<void>;
  /** Frees GPU buffers, WASM memory and the worker. The object is of no use afterwards. */
  dispose(): Promise<void>;
}
