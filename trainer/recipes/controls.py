#!/usr/bin/env python3
"""Trains the controls of spec section 6 by trainer/recipes/controls.toml, one after another, and measures them side by side.

    python3 trainer/recipes/controls.py [--folio-train PATH] [--only NAME …] [--eval-only]
    python3 trainer/recipes/controls.py --continued models/folio-nano

Runs that are there go on; one that has no checkpoint yet starts anew (`--resume` does both). `vision` is always among the runs, as the others
are measured beside it. The report: runs/controls/report/eval.md.

--continued: the controls of text alone at the size of the bundled model, by controls-continued.toml: they go on from the weights that stage 17
of folio-nano-bytes.toml went on from, in as many steps, and are measured beside the model that is named. The report: runs/controls-continued/report/eval.md.
"""
import argparse, os, subprocess, sys

# Name, `memory`, `visual_sees_text`: the method first, as the others are measured beside it.
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

# Those whose weights may come from a model that reads pages.
CONTINUED = [c for c in CONTROLS if c[0] in ("full", "window", "none")]

# What is scored is no longer than what was trained on: 8 chunks of 128 tokens.
EVAL = ["--tokens", "1024", "--folds", "4"]


def replaced(text, old, new, times=1):
    """`text` with `old` replaced, which must stand in it so many times."""
    if text.count(old) != times:
        sys.exit(f"controls.toml has `{old}` {text.count(old)} times, not {times}: change controls.py with it")
    return text.replace(old, new)


def of_control(recipe, folder, name, memory, sees):
    """The recipe of a control."""
    text = replaced(recipe, 'memory = "vision"', f'memory = "{memory}"')
    text = replaced(text, "visual_sees_text = false", f"visual_sees_text = {str(sees).lower()}")
    text = replaced(text, f'out = "{folder}/vision"', f'out = "{folder}/{name}"')
    if sees:
        # As it was measured: before `aux.next` hid from a visual token the text that it is to predict.
        text = replaced(text, "next = 0.5", "next = 0.0")
    return text


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--folio-train", default=os.path.join(os.environ.get("CARGO_TARGET_DIR", "target"), "release", "folio-train"))
    p.add_argument("--only", nargs="+", metavar="NAME", choices=[c[0] for c in CONTROLS], help="these controls, and vision")
    p.add_argument("--continued", metavar="MODEL", help="continue the bundled model's weights as controls, and measure them beside MODEL")
    p.add_argument("--eval-only", action="store_true", help="train nothing: measure the runs that are there")
    a = p.parse_args()
    folder, controls = ("runs/controls-continued", CONTINUED) if a.continued else ("runs/controls", CONTROLS)
    recipe = open(os.path.join(os.path.dirname(__file__), os.path.basename(folder) + ".toml")).read()
    os.makedirs(folder, exist_ok=True)
    if a.continued and not a.eval_only and not os.path.exists("runs/before/config.json"):
        p.error("runs/before is no model folder: put the checkpoint there that the controls go on from (the head of controls-continued.toml)")
    wanted = [c for c in controls if not a.only or c[0] == "vision" or c[0] in a.only]
    for name, memory, sees in [] if a.eval_only else wanted:
        path = f"{folder}/{name}.toml"
        with open(path, "w") as f:
            f.write(of_control(recipe, folder, name, memory, sees))
        subprocess.run([a.folio_train, "run", path, "--resume"], check=True)
    command = [a.folio_train, "eval", a.continued or f"{folder}/vision", "--data", "../shared/data/books-valid.jsonl.zst", "--out", f"{folder}/report", *EVAL]
    for name, _, _ in wanted:
        if name != "vision" and os.path.exists(f"{folder}/{name}/latest"):
            command += ["--controls", f"{folder}/{name}={name}"]
    subprocess.run(command, check=True)


main()
