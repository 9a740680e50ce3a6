#!/usr/bin/env python3
"""Makes text that can only be written on by looking back: books into which a key, or sentences of the same text, are put
again and again. Usage: recall.py BOOKS.jsonl.zst OUT.jsonl [--documents N] [--seed S] [--near]; and random strings with
--random."""
import argparse, json, math, random, subprocess, string

def books(path):
    out = subprocess.Popen(["zstd", "-dc", path], stdout=subprocess.PIPE) if path.endswith(".zst") else open(path, "rb")
    for line in (out.stdout if path.endswith(".zst") else out):
        yield json.loads(line)["text"]

def key(rng):
    return "".join(rng.choice(string.ascii_lowercase) for _ in range(12))

def with_keys(text, rng, farthest):
    """The sentence every so often; how often is drawn for the document, so that all distances up to `farthest` occur."""
    mean, the_key, parts, at = math.exp(rng.uniform(math.log(60), math.log(farthest))), key(rng), [], 0
    while at < len(text):
        step = int(rng.uniform(0.5, 1.5) * mean)
        parts += [text[at:at + step], f"\nThe key is {the_key}.\n"]
        at += step
    return "".join(parts)

def with_echoes(text, rng, farthest):
    """A stretch of what stood up to `farthest` characters before, again."""
    out, at = text[:300], 300
    while at < len(text):
        step = rng.randint(60, 400)
        out += text[at:at + step]
        at += step
        back = int(math.exp(rng.uniform(math.log(100), math.log(farthest))))
        start = max(0, len(out) - back)
        out += "\n" + out[start:start + rng.randint(30, 160)] + "\n"
    return out

def main():
    p = argparse.ArgumentParser()
    p.add_argument("books"); p.add_argument("out")
    p.add_argument("--documents", type=int, default=3000)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--near", action="store_true", help="distances up to 600 characters, not 4,000")
    p.add_argument("--random", action="store_true", help="documents of random lower-case words instead")
    a = p.parse_args()
    rng = random.Random(a.seed)
    farthest = 600 if a.near else 4000
    with open(a.out, "w") as f:
        if a.random:
            for _ in range(a.documents):
                words = ["".join(rng.choice(string.ascii_lowercase) for _ in range(rng.randint(1, 12))) for _ in range(300)]
                f.write(json.dumps({"text": " ".join(words)}) + "\n")
            return
        made = 0
        texts = list(books(a.books))
        while made < a.documents:
            text = rng.choice(texts)
            if len(text) < 12000: continue
            start = rng.randrange(len(text) - 10000)
            piece = text[start:start + rng.randint(5000, 9000)]
            make = with_keys if rng.random() < 0.5 else with_echoes
            f.write(json.dumps({"text": make(piece, rng, farthest)}) + "\n")
            made += 1
main()
