#!/usr/bin/env python3
"""What a model's memory is worth: `folio score` on windows of held-out books, folded against none and full.

    python3 models/score_books.py --books ../shared/data/books-valid.jsonl.zst --model models/folio-nano

Every window is scored in every mode with the same chunks, so differences are paired by window. Needs `zstd` for .zst
files and a built `folio` (--folio, default target/release/folio). Prints a Markdown table and, with --json, one object.
"""
import argparse, json, math, os, statistics, subprocess, sys, tempfile


def books(path):
    raw = subprocess.run(["zstd", "-dc", path], check=True, capture_output=True).stdout if path.endswith(".zst") else open(path, "rb").read()
    return [json.loads(line) for line in raw.decode("utf-8").splitlines() if line.strip()]


def windows(text, count, characters):
    """`count` windows spread evenly over a book, each from the start of a paragraph."""
    for i in range(count):
        at = int(len(text) * (i + 0.5) / count)
        start = text.find("\n\n", at)
        start = at if start < 0 else start + 2
        window = text[start : start + characters]
        if len(window) == characters:
            yield window


def score(folio, model, path, mode):
    out = subprocess.run([folio, "score", "--quiet", "--model", model, "--file", path, "--context", mode, "--per-token"], check=True, capture_output=True)
    return json.loads(out.stdout)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--books", required=True)
    p.add_argument("--model", default="models/folio-nano")
    p.add_argument("--folio", default=os.path.join(os.environ.get("CARGO_TARGET_DIR", "target"), "release", "folio"))
    p.add_argument("--windows", type=int, default=4, help="per book")
    p.add_argument("--characters", type=int, default=10000, help="per window")
    p.add_argument("--modes", default="folded,none,full,window")
    p.add_argument("--json", action="store_true")
    a = p.parse_args()
    modes = a.modes.split(",")
    first = 16  # tokens at the start of a chunk, where memory matters most
    rows = []
    with tempfile.TemporaryDirectory() as tmp:
        path = os.path.join(tmp, "window.txt")
        for book in books(a.books):
            for text in windows(book["text"], a.windows, a.characters):
                open(path, "w", encoding="utf-8").write(text)
                row = {}
                for mode in modes:
                    s = score(a.folio, a.model, path, mode)
                    nll, chunks = s["token_nll"], s["chunks"]
                    starts = [sum(chunks[: i + 1]) for i in range(len(chunks))]
                    early = [x for at in starts for x in nll[at : at + first]]
                    last = [nll[at] for at in starts if at < len(nll)]
                    row[mode] = (sum(nll) / len(nll), sum(early) / len(early), sum(last) / len(last))
                    row["tokens"], row["chunk"] = s["tokens"], sum(chunks) / len(chunks)
                rows.append(row)
                print(f"{len(rows)}: {book.get('title', '')[:40]}", file=sys.stderr)
    result = {"windows": len(rows), "tokens": sum(r["tokens"] for r in rows), "tokens_per_chunk": statistics.mean(r["chunk"] for r in rows)}
    print(f"{result['windows']} windows, {result['tokens']} tokens, {result['tokens_per_chunk']:.1f} tokens a chunk\n")
    print(f"| context | nats/token | first {first} of a chunk | first token of a chunk | folded − this (± standard error), first {first} |")
    print("|---|---|---|---|---|")
    for mode in modes:
        means = [statistics.mean(r[mode][k] for r in rows) for k in range(3)]
        line = f"| {mode} | {means[0]:.4f} | {means[1]:.4f} | {means[2]:.4f} |"
        result[mode] = {"nll": means[0], "first": means[1], "first_token": means[2]}
        if mode != "folded" and "folded" in modes:
            parts = []
            for k, key in enumerate(["", "_first"]):
                d = [r["folded"][k] - r[mode][k] for r in rows]
                error = statistics.stdev(d) / math.sqrt(len(d)) if len(d) > 1 else float("nan")
                parts.append(f"{statistics.mean(d):+.4f} ± {error:.4f}")
                result[mode]["difference" + key] = [statistics.mean(d), error]
            line += f" {parts[0]}, {parts[1]} |"
        else:
            line += " |"
        print(line)
    if a.json:
        print(json.dumps(result))


main()
