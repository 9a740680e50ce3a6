#!/usr/bin/env python3
"""Makes text that can only be written on by looking back: books into which a key, or sentences of the same text, are put
again and again. Usage: recall.py BOOKS.jsonl.zst OUT.jsonl [--documents N] [--seed S] [--near].
--random: random strings instead (BOOKS may be left out). --facts: nothing but what must be looked up, of which all of a token's loss can be had back:
half of the documents are words of a vocabulary of their own, the others lists of sentences like that of the key.
--rounds: books into which a list of such sentences is put again and again, so that many things are asked for at one distance.
--once: short stretches of books that begin with a few such sentences and end by asking for one of them."""
import argparse, json, math, random, subprocess, string, sys

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

NOUNS = ("key lamp door code name ring book gate coat road ship wall bell clock horse river field stone "
         "candle letter garden window number answer").split()

def letters(rng, n):
    return "".join(rng.choice(string.ascii_lowercase) for _ in range(n))

def own_words(rng, length):
    """Text of a few random words: after a letter or two the rest of a word can be found on an earlier page."""
    words = [letters(rng, rng.randint(3, 12)) for _ in range(int(math.exp(rng.uniform(math.log(6), math.log(60)))))]
    out = ""
    while len(out) < length:
        out += rng.choice(words) + (". " if rng.random() < 0.1 else " ")
    return out

def facts(rng, length, text):
    """"The key is …." for some things, again and again, with stretches of a book between them: from one or two things, whose last mention is near, to
    a hundred, whose last mention is thousands of characters away."""
    names = sorted({word for word in text.split() if word.isascii() and word.isalpha() and word.islower() and 3 <= len(word) <= 8} | set(NOUNS))
    things = rng.sample(names, min(len(names), int(math.exp(rng.uniform(0, math.log(100))))))
    if "key" not in things:
        things[0] = "key"
    values = {thing: letters(rng, 12) for thing in things}
    between, out, at = rng.choice([0, 0, 0, 40, 120]), "", 0
    while len(out) < length:
        thing = rng.choice(things)
        step = rng.randint(0, 2 * between)
        out += text[at:at + step] + f"\nThe {thing} is {values[thing]}.\n"
        at += step
    return out

def rounds(rng, text, nearest, farthest):
    """"The key is …." for one to thirty things, all of them again in another order after a stretch of a book, and so on: every sentence of a round is
    asked for at about one distance, drawn for the document. Now and then a line of the book stands between two sentences, too."""
    names = sorted({word for word in text.split() if word.isascii() and word.isalpha() and word.islower() and 3 <= len(word) <= 8} | set(NOUNS))
    others = [name for name in names if name != "key"]
    things = ["key"] + rng.sample(others, min(len(others), int(math.exp(rng.uniform(0, math.log(30)))) - 1))
    values = {thing: letters(rng, 12) for thing in things}
    mean, inside, out, at = math.exp(rng.uniform(math.log(nearest), math.log(farthest))), rng.choice([0, 0, 60]), "", 0
    while at < len(text):
        step = int(rng.uniform(0.7, 1.3) * mean)
        out += text[at:at + step]
        at += step
        for thing in rng.sample(things, len(things)):
            step = rng.randint(0, 2 * inside)
            out += f"\nThe {thing} is {values[thing]}.\n" + text[at:at + step]
            at += step
    return out

def once(rng, text):
    """"The key is …." for one to four things near the start of a stretch of a book, and one of them asked for at its end, 200 to 3,300 characters on."""
    values = {thing: letters(rng, 12) for thing in ["key"] + rng.sample(NOUNS[1:], rng.choice([0, 0, 1, 3]))}
    out, at = "", 0
    for thing in rng.sample(list(values), len(values)):
        step = rng.randint(20, 110)
        out += text[at:at + step] + f"\nThe {thing} is {values[thing]}.\n"
        at += step
    out += text[at:at + rng.randint(200, 3300)]
    thing = "key" if rng.random() < 0.7 else rng.choice(list(values))
    return out + f"\nThe {thing} is {values[thing]}.\n"

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("books", nargs="?", help="lines of {\"text\": …}, .zst or not; not for --random")
    p.add_argument("out", help="where the documents go, as such lines")
    p.add_argument("--documents", type=int, default=3000, help="documents to make (default 3000)")
    p.add_argument("--seed", type=int, default=1, help="of all that is drawn (default 1)")
    p.add_argument("--near", action="store_true", help="distances up to 600 characters, not 4,000")
    p.add_argument("--random", action="store_true", help="documents of random lower-case words instead")
    p.add_argument("--facts", action="store_true", help="documents that must be looked up, instead")
    p.add_argument("--rounds", action="store_true", help="books with lists of such sentences, instead: distances up to 2,600 characters")
    p.add_argument("--once", action="store_true", help="short stretches that end by asking for what they began with, instead")
    p.add_argument("--nearest", type=int, default=100, metavar="N", help="with --rounds: distances from N characters on, up to 2,600 (default 100)")
    a = p.parse_intermixed_args()
    if not 1 <= a.nearest <= 2600:
        p.error(f"--nearest is {a.nearest}, must be 1 to 2600")
    if a.books is None and not a.random:
        p.error("BOOKS is missing: only --random reads none")
    rng = random.Random(a.seed)
    farthest = 600 if a.near else 4000
    texts = []
    if not a.random:
        texts = list(books(a.books))
        if not any(len(text) >= 12000 for text in texts):
            sys.exit(f"{a.books}: none of its {len(texts)} texts has 12,000 characters or more")
    with open(a.out, "w") as f:
        if a.random:
            for _ in range(a.documents):
                words = ["".join(rng.choice(string.ascii_lowercase) for _ in range(rng.randint(1, 12))) for _ in range(300)]
                f.write(json.dumps({"text": " ".join(words)}) + "\n")
            return
        made = 0
        while made < a.documents:
            text = rng.choice(texts)
            if len(text) < 12000: continue
            start = rng.randrange(len(text) - 10000)
            if a.facts:
                length = rng.randint(3000, 5000)
                made_up = own_words(rng, length) if made % 2 else facts(rng, length, text[start:start + 8000])
                f.write(json.dumps({"text": made_up}) + "\n")
                made += 1
                continue
            if a.once:
                f.write(json.dumps({"text": once(rng, text[start:start + 4000])}) + "\n")
                made += 1
                continue
            piece = text[start:start + rng.randint(5000, 9000)]
            if a.rounds:
                f.write(json.dumps({"text": rounds(rng, piece, a.nearest, 2600)}) + "\n")
                made += 1
                continue
            make = with_keys if rng.random() < 0.5 else with_echoes
            f.write(json.dumps({"text": make(piece, rng, farthest)}) + "\n")
            made += 1
main()
