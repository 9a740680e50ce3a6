#!/usr/bin/env python3
"""How far a generated text looks like prose: share of its words that the training books have, share of different 4-grams of
words, and lines that are repeated.

    folio generate --prompt "It was late" --max-new-tokens 3000 --ignore-eos > text.txt
    python3 models/prose_check.py --books ../shared/data/books-train.jsonl.zst text.txt [text2.txt ...]

A word is a run of letters and apostrophes, in lower case; a word counts as known when it stands in the books at least
`--least` times. Needs `zstd` for .zst files.
"""
import argparse, collections, json, re, subprocess

WORD = re.compile(r"[a-z]+(?:'[a-z]+)*")


def books(path):
    pipe = subprocess.Popen(["zstd", "-dc", path], stdout=subprocess.PIPE).stdout if path.endswith(".zst") else open(path, "rb")
    for line in pipe:
        yield json.loads(line)["text"]


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--books", required=True)
    p.add_argument("--least", type=int, default=1)
    p.add_argument("--show", type=int, default=12, help="unknown words to show")
    p.add_argument("texts", nargs="+")
    a = p.parse_args()
    count = collections.Counter()
    for text in books(a.books):
        count.update(WORD.findall(text.lower()))
    known = {word for word, n in count.items() if n >= a.least}
    print("| text | words | known | different 4-grams | lines repeated | unknown |\n|---|---|---|---|---|---|")
    for path in a.texts:
        text = open(path, encoding="utf-8").read()
        words = WORD.findall(text.lower())
        grams = [tuple(words[i : i + 4]) for i in range(len(words) - 3)]
        lines = collections.Counter(line.strip() for line in text.splitlines() if len(line.strip()) > 20)
        repeated = sum(n - 1 for n in lines.values())
        unknown = [w for w in words if w not in known]
        share = lambda n, of: f"{100 * n / max(of, 1):.1f}%"
        print(f"| {path} | {len(words)} | {share(len(words) - len(unknown), len(words))} | {share(len(set(grams)), len(grams))} | {repeated} | {' '.join(unknown[: a.show])} |")


main()
