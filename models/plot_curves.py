#!/usr/bin/env python3
"""Loss curves of a training run as SVG: `python3 models/plot_curves.py runs/folio-nano > models/folio-nano/curves.svg`."""
import json, sys

SERIES = [
    ("loss", "text, folded (train)", "#1f5fbf"),
    ("eval_loss", "text, folded (validation)", "#0b2a5b"),
    ("ocr_loss", "reading pages back (train)", "#c2571a"),
    ("cells_loss", "naming characters (train)", "#3a8a3a"),
]
W, H, LEFT, TOP = 760, 380, 50, 20


def main():
    lines = [json.loads(l) for l in open(sys.argv[1] + "/metrics.jsonl") if l.strip()]
    # Validation before the decoder's first step says nothing.
    first_text = min(l["step"] for l in lines if "loss" in l)
    lines = [l for l in lines if "eval_loss" not in l or l["step"] >= first_text]
    last = max(l["step"] for l in lines)
    top = max(l[k] for l in lines for k, _, _ in SERIES if k in l)
    x = lambda step: LEFT + (W - LEFT - 20) * step / last
    y = lambda v: TOP + (H - TOP - 40) * (1 - v / top)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {W} {H}" font-family="sans-serif" font-size="12">',
           f'<rect width="{W}" height="{H}" fill="white"/>']
    for v in range(0, int(top) + 1):
        out.append(f'<line x1="{LEFT}" x2="{W-20}" y1="{y(v):.1f}" y2="{y(v):.1f}" stroke="#ddd"/><text x="{LEFT-8}" y="{y(v)+4:.1f}" text-anchor="end">{v}</text>')
    for s in range(0, last + 1, 250):
        out.append(f'<text x="{x(s):.1f}" y="{H-22}" text-anchor="middle">{s}</text>')
    out.append(f'<text x="{(W+LEFT)/2}" y="{H-6}" text-anchor="middle">step</text><text x="12" y="14">nats</text>')
    stages = sorted({l["stage"]: l["step"] for l in reversed(lines) if "stage" in l}.items())
    for stage, step in stages[1:]:
        out.append(f'<line x1="{x(step):.1f}" x2="{x(step):.1f}" y1="{TOP}" y2="{H-40}" stroke="#999" stroke-dasharray="3 3"/><text x="{x(step)+3:.1f}" y="{TOP+10}" fill="#666">stage {stage}</text>')
    for i, (key, name, colour) in enumerate(SERIES):
        points = " ".join(f"{x(l['step']):.1f},{y(l[key]):.1f}" for l in lines if key in l)
        out.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        out.append(f'<text x="{LEFT+230}" y="{TOP+26+16*i}" fill="{colour}">{name}</text>')
    print("\n".join(out + ["</svg>"]))


main()
