#!/usr/bin/env python3
"""Trains the controls of spec section 6 by trainer/recipes/controls.toml, one after another, and measures them side by side.

    python3 trainer/recipes/controls.py [--folio-train PATH] [--only NAME …] [--eval-only]

Runs that are there go on (`--resume`). The report: runs/controls/report/eval.md.
"""
import argparse, os, subprocess

# Name, `memory`, `visual_sees_text`: (f) first, as the others are measured beside it.
CONTROLS = [
    ("vision", "vision", False),
    ("full", "full", False),
    ("window", "window", False),
    ("none", "none", False),
    ("mean_pool", "mean_pool", False),
    ("conv_pyramid", "conv_pyramid", False),
    ("visual_sees_text", "vision", True),
    ("shuffled_pages", "shuffled_pages", False),
]


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--folio-train", default=os.path.join(os.environ.get("CARGO_TARGET_DIR", "target"), "release", "folio-train"))
    p.add_argument("--only", nargs="*")
    p.add_argument("--eval-only", action="store_true")
    a = p.parse_args()
    recipe = open(os.path.join(os.path.dirname(__file__), "controls.toml")).read()
    os.makedirs("runs/controls", exist_ok=True)
    wanted = [c for c in CONTROLS if not a.only or c[0] in a.only]
    for name, memory, sees in [] if a.eval_only else wanted:
        text = recipe.replace('memory = "vision"', f'memory = "{memory}"')
        text = text.replace("visual_sees_text = false", f"visual_sees_text = {str(sees).lower()}")
        text = text.replace('out = "runs/controls/vision"', f'out = "runs/controls/{name}"')
        path = f"runs/controls/{name}.toml"
        open(path, "w").write(text)
        resume = ["--resume"] if os.path.exists(f"runs/controls/{name}/latest") else []
        subprocess.run([a.folio_train, "run", path, *resume], check=True)
    command = [a.folio_train, "eval", "runs/controls/vision", "--data", "../shared/data/books-valid.jsonl.zst", "--out", "runs/controls/report", "--tokens", "1536"]
    for name, _, _ in wanted:
        if name != "vision" and os.path.exists(f"runs/controls/{name}/latest"):
            command += ["--controls", f"runs/controls/{name}={name}"]
    subprocess.run(command, check=True)


main()
