// What the page and the worker say to each other. Types only.
import type { AdapterReport, Counts, ErrorCode, Event, ManifestModel, ModelInfo, Progress, Settings } from "./folio.js";

export type Start =
  | { how: "generate"; prompt: string; settings: Settings }
  | { how: "resume"; maxNewTokens: number }
  | { how: "restore"; saved: Uint8Array; maxNewTokens: number };

/** Where a model's files are. */
export type Request =
  | { kind: "manifest"; model: ManifestModel; base: string }
  | { kind: "url"; url: string }
  | { kind: "files"; files: File[] };

export interface LoadSettings { software?: boolean; memoryBytes?: number; slots?: number }
export interface Loaded { info: ModelInfo; device: AdapterReport; defaults: Partial<Settings> }

export type Call =
  | { name: "load"; request: Request; settings: LoadSettings }
  | { name: "start"; start: Start; run: number }
  | { name: "save" }
  | { name: "counts" }
  | { name: "loseDevice" }
  | { name: "free" };

export interface Replies { load: Loaded; start: void; save: Uint8Array<ArrayBuffer>; counts: Counts; loseDevice: void; free: void }

export type ToWorker = { type: "call"; id: number; call: Call } | { type: "cancel"; run: number };

export type FromWorker =
  | { type: "reply"; id: number; value: unknown }
  | { type: "failed"; id: number; error: { code: ErrorCode; message: string } }
  | { type: "progress"; progress: Progress }
  | { type: "events"; run: number; events: Event[] }
  | { type: "ended"; run: number; error?: { code: ErrorCode; message: string } };
