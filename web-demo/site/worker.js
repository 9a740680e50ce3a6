// @ts-check
// The worker: owns the engine, does one thing at a time, and listens between any two steps of a generation.

import { FolioError, asFolioError, packError } from "./errors.js";
import { Outbox } from "./outbox.js";
import { openModel } from "./store/open.js";

/**
 * @typedef {import("./protocol.js").ToWorker} ToWorker
 * @typedef {import("./protocol.js").FromWorker} FromWorker
 * @typedef {import("./protocol.js").Start} Start
 * @typedef {import("./protocol.js").Call} Call
 * @typedef {import("./folio.js").Settings} Settings
 * @typedef {import("./engine.js").Model} Model
 */

/** @type {{postMessage: (message: FromWorker, transfer: Transferable[]) => void, onmessage: ((event: MessageEvent<ToWorker>) => void) | null}} */
const page = /** @type {any} */ (self);

/** @param {FromWorker} message @param {Transferable[]} [transfer] */
const post = (message, transfer) => page.postMessage(message, transfer ?? []);

/** @type {typeof import("./engine.js") | null} */ let engine = null;
/** @type {Model | null} */ let model = null;
/** @type {Awaited<ReturnType<typeof openModel>> | null} */ let opened = null;
let running = false;
/** The run that is to stop: it may be asked to before it has started. */
let cancelled = 0;

// wasm-bindgen's objects refuse a second call while one waits for the GPU, so calls queue up, generation steps among them.
/** @type {Promise<unknown>} */ let last = Promise.resolve();
/**
 * @template T
 * @param {() => T | Promise<T>} task
 * @returns {Promise<T>}
 */
function exclusive(task) {
  const result = last.then(task);
  last = result.catch(() => {});
  return result;
}

/** Lets messages in: unlike a promise, a port's message is a task of its own; unlike a timer, it is not held back. */
const { port1, port2 } = new MessageChannel();
/** @type {(() => void) | null} */ let goOn = null;
port1.onmessage = () => goOn?.();
/** @returns {Promise<void>} */
const macrotask = () =>
  new Promise((resolve) => {
    goOn = resolve;
    port2.postMessage(null);
  });

function loaded() {
  if (!model) throw new FolioError("bad_argument", "no model is loaded; load one first");
  return model;
}

async function startEngine() {
  if (engine) return engine;
  try {
    const module = await import("./engine.js");
    await module.default();
    engine = module;
    return module;
  } catch (error) {
    const missing = error instanceof TypeError;
    throw new FolioError(
      missing ? "network" : "engine",
      `the engine (engine.js, engine_bg.wasm) ${missing ? "could not be fetched; check the connection and reload the page" : `does not start: ${asFolioError(error).message}`}`,
      { cause: error },
    );
  }
}

/** @param {Call & {name: "load"}} call */
async function load({ request, settings }) {
  if (model) throw new FolioError("bad_argument", "this worker has a model already; make another Folio");
  const { adapter, Model } = await startEngine();
  // Before anything is downloaded: a browser without WebGPU should hear of it at once.
  const device = await adapter();
  if (device.software && settings.software === false)
    throw new FolioError("no_webgpu", `the only WebGPU adapter (${device.name}) is a CPU in disguise: see that hardware acceleration is switched on`);
  /** @param {import("./folio.js").Progress} progress */
  const onProgress = (progress) => post({ type: "progress", progress });
  opened = await openModel(request, onProgress);
  const { name, texts, weights, downloads } = opened;
  try {
    // A download that fails rejects what the engine waits for; its own error (`failure`) says more about it.
    const loading = Model.load(texts, weights, { name, ...settings }, (what, share) => onProgress({ what, share }));
    const [result] = await Promise.all([loading, downloads]);
    model = result;
  } catch (error) {
    const failure = asFolioError(opened.failure() ?? error);
    // A file that was downloaded wrong is gone already. Here the engine found that a kept one makes no sense, or an address
    // has another model now.
    if (opened.outdated() || (failure.code === "corrupt" && !opened.failure())) await opened.forget();
    opened.close();
    throw failure;
  }
  return { info: model.info(), device, defaults: defaults(texts["generation_config.json"]) };
}

/**
 * Hugging Face's names for what we call Settings.
 * @param {string | undefined} text
 * @returns {Partial<Settings>}
 */
function defaults(text) {
  if (!text) return {};
  try {
    const { temperature, top_k: topK, top_p: topP, min_p: minP, repetition_penalty: repetitionPenalty } = JSON.parse(text);
    const all = { temperature, topK, topP, minP, repetitionPenalty };
    return Object.fromEntries(Object.entries(all).filter(([, value]) => typeof value === "number"));
  } catch {
    return {}; // the engine has looked at the file; these are only suggestions for a form
  }
}

const randomSeed = () => crypto.getRandomValues(new Uint32Array(1))[0];

/** @param {Start} start @param {number} run */
async function begin(start, run) {
  const model = loaded();
  if (running) throw new FolioError("bad_argument", "a generation is running already");
  running = true;
  const outbox = new Outbox((events, transfer) => post({ type: "events", run, events }, transfer));
  try {
    await exclusive(() => {
      if (start.how === "generate") model.start(start.prompt, { ...start.settings, seed: start.settings.seed ?? randomSeed() });
      else if (start.how === "resume") model.resume(start.maxNewTokens);
      else {
        model.restore(start.saved, { maxNewTokens: start.maxNewTokens });
        outbox.push({ type: "text", text: model.text() });
      }
    });
  } catch (error) {
    running = false;
    throw error;
  }
  steps(model, run, outbox); // not awaited: the reply says that it has started
}

/** @param {Model} model @param {number} run @param {Outbox} outbox */
async function steps(model, run, outbox) {
  /** @type {FromWorker} */ let end = { type: "ended", run };
  try {
    for (;;) {
      const event = await exclusive(() => model.next());
      if (event === undefined) break;
      outbox.push(event.type === "token" ? { ...event, at: performance.timeOrigin + performance.now() } : event);
      await macrotask();
      if (cancelled === run) {
        cancelled = 0;
        await exclusive(() => model.cancel());
      }
    }
  } catch (error) {
    end = { type: "ended", run, error: packError(error) };
  }
  running = false;
  outbox.flush();
  post(end);
}

/** @param {Call} call @returns {Promise<unknown>} */
async function answer(call) {
  switch (call.name) {
    case "load":
      return load(call);
    case "start":
      return begin(call.start, call.run);
    case "save":
      return exclusive(() => loaded().save());
    case "counts":
      return exclusive(() => ({ ...loaded().counts(), wasmBytes: engine?.wasmBytes() ?? 0 }));
    case "loseDevice":
      return exclusive(() => loaded().loseDevice());
    case "free":
      return exclusive(() => {
        model?.free();
        model = null;
        opened?.close();
      });
  }
}

page.onmessage = async ({ data }) => {
  if (data.type === "cancel") {
    cancelled = data.run;
    return;
  }
  try {
    post({ type: "reply", id: data.id, value: await answer(data.call) });
  } catch (error) {
    post({ type: "failed", id: data.id, error: packError(error) });
  }
};
