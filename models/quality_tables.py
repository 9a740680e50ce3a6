#!/usr/bin/env python3
"""The tables of QUALITY.md from an eval.json of `folio-train eval`:

    python3 models/quality_tables.py report/eval.json [side memory pages keys unfolded copied]

`side` is of `--controls`, `unfolded` of `--unfold`. Without names: all that the file has.
"""
import argparse, json

PLACES = ["0", "1", "2–3", "4–7", "8–15", "16–31", "32–63", "64–127"]


def table(head, rows):
    for row in [head, ["---"] * len(head), *rows]:
        print("| " + " | ".join(row) + " |")
    print()


def percent(x, digits=1):
    return f"{100 * x:.{digits}f}%"


def difference(x):
    if not x:
        return "–"
    # A single document has no error.
    error = x["standard_error"]
    return f"{x['mean']:+.3f}" + ("" if error is None else f" ± {error:.3f}")


def side(d):
    rows = sorted(d["controls"], key=lambda c: c["nll"]["mean"])
    table(["model", "nats a character", "less the first model, by document"],
          [[c["name"], f"{c['nll']['mean']:.3f}", difference(c.get("less_model"))] for c in rows])
    table(["model", *PLACES], [[c["name"], *(f"{v:.3f}" for v in c["nll"]["by_offset"])] for c in rows])


def memory(d):
    s = d["scores"]
    rows = [["folded", f"{s['folded']['mean']:.3f}", "–"]]
    for key, name in [("none", "none"), ("reread", "reread only"), ("full", "full"), ("window", "window")]:
        if s.get(key):
            rows.append([name, f"{s[key]['mean']:.3f}", difference(s[f"{key}_less_folded"])])
    table(["memory", "nats a character", "less folded, by document"], rows)


def pages(d):
    table(["text", "characters on the page", "a visual token", "pages exact", "characters wrong"],
          [[r["text"], str(r["page_tokens"]), f"{r['characters_per_slot']:.1f}", percent(r["exact"], 0), percent(r["character_error_rate"])]
           for r in d["reading"]])


def keys(d):
    table(["folds between", "keys", "exact", "letters right"],
          [[str(r["folds"]), str(r["keys"]), percent(r["exact"]), percent(r["characters"])] for r in d["needle"]])


def unfolded(d):
    found = d.get("unfolded") or []
    folds = sorted({r["folds"] for r in found})
    by = list(dict.fromkeys(r["by"] for r in found))
    cell = {(r["by"], r["folds"]): f"{percent(r['exact'])} ({percent(r['found'], 0)})" for r in found}
    if found:
        table(["page chosen by", *(f"{n} fold{'s' if n > 1 else ''}" for n in folds)], [[b, *(cell[b, n] for n in folds)] for b in by])


def copied(d):
    table(["folds between", "right", "without the text"],
          [[str(r["folds"]), percent(r["accuracy"]), percent(r["accuracy_without"])] for r in d["copy"]])


def main():
    known = {f.__name__: f for f in [side, memory, pages, keys, unfolded, copied]}
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("report")
    p.add_argument("tables", nargs="*", help=", ".join(known))
    a = p.parse_args()
    if wrong := [t for t in a.tables if t not in known]:
        p.error(f"no table {wrong[0]!r}: there are {', '.join(known)}")
    with open(a.report, encoding="utf-8") as f:
        d = json.load(f)
    for name in a.tables or known:
        known[name](d)


main()
