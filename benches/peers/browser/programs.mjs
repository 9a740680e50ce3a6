// What runs in the page: each function reads the prompt, writes `decode` tokens greedily, and gives its times.
// They are sent to the page as text, so each stands alone.

/** Our page's library, folded. */
export async function folio({ prompt, decode, slots }) {
  const { Folio } = await import("/folio/folio.js");
  const model = await Folio.load({ url: new URL("/model/", location.href), software: true, slots });
  const settings = { maxNewTokens: decode + 1, temperature: 0, ignoreEos: true, context: "folded" };
  const [start, times] = [performance.now(), []];
  let [held, stats] = [0, null];
  for await (const event of model.generate(prompt, settings)) {
    if (event.type === "token") [held] = [event.slots, times.push(performance.now() - start)];
    if (event.type === "stats") stats = event.stats;
  }
  const info = model.info;
  await model.dispose();
  return { times, contextBytes: held * info.kvBytesPerSlot, promptTokens: stats?.prompt_tokens, device: info.adapter.name };
}

/** llama.cpp in WebAssembly. `gpu`: layers on WebGPU. */
export async function wllama({ prompt, decode, slots, gpu, threads }) {
  const { Wllama, LoggerWithoutDebug } = await import("/modules/@wllama/wllama/esm/index.js");
  const wllama = new Wllama({ default: "/modules/@wllama/wllama/esm/wasm/wllama.wasm" }, { logger: LoggerWithoutDebug });
  const blob = await (await fetch("/gguf")).blob();
  await wllama.loadModel([blob], { n_ctx: slots, n_threads: threads, n_gpu_layers: gpu ? 999 : 0 });
  const [start, times] = [performance.now(), []];
  let usage = null;
  const stream = await wllama.createCompletion({ prompt, max_tokens: decode + 1, temperature: 0, stream: true, ignore_eos: true });
  for await (const piece of stream) {
    if (piece.choices?.[0]?.text) times.push(performance.now() - start);
    usage = piece.usage ?? usage;
  }
  await wllama.exit();
  return { times, promptTokens: usage?.prompt_tokens ?? null, isolated: crossOriginIsolated };
}

/** ONNX Runtime through transformers.js. */
export async function transformers({ prompt, decode, device, dtype, threads }) {
  const { AutoModelForCausalLM, AutoTokenizer, BaseStreamer, env } = await import("/modules/@huggingface/transformers/dist/transformers.min.js");
  env.allowRemoteModels = false;
  env.allowLocalModels = true;
  env.localModelPath = "/onnx/";
  env.useBrowserCache = false;
  env.backends.onnx.wasm.wasmPaths = "/modules/onnxruntime-web/dist/";
  env.backends.onnx.wasm.numThreads = threads;
  const tokenizer = await AutoTokenizer.from_pretrained("model");
  const model = await AutoModelForCausalLM.from_pretrained("model", { device, dtype });
  const inputs = tokenizer(prompt);
  const times = [];
  let start = 0;
  class Clock extends BaseStreamer {
    seen = 0;
    put() {
      // The first call brings the prompt.
      if (this.seen++) times.push(performance.now() - start);
    }
    end() {}
  }
  start = performance.now();
  await model.generate({ ...inputs, max_new_tokens: decode + 1, min_new_tokens: decode + 1, do_sample: false, streamer: new Clock() });
  await model.dispose();
  return { times, promptTokens: inputs.input_ids.dims[1], isolated: crossOriginIsolated };
}
