#!/usr/bin/env python3
"""NLL by offset inside the chunk, a line a control, as SVG: `python3 models/plot_offsets.py runs/controls/report/eval.json > models/offsets.svg`."""
import argparse, json

LABELS = ["0", "1", "2–3", "4–7", "8–15", "16–31", "32–63", "64–127"]
COLOURS = ["#0b2a5b", "#c2571a", "#3a8a3a", "#888888", "#8a3a8a", "#b08a00", "#1f9fbf", "#bf1f3f"]
W, H, LEFT, TOP, RIGHT = 760, 400, 50, 20, 190


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("report", help="eval.json of `folio-train eval --controls`")
    with open(p.parse_args().report) as f:
        controls = json.load(f)["controls"]
    lines = [(c["name"], c["nll"]["by_offset"], c["nll"]["mean"]) for c in controls]
    top = max(v for _, by, _ in lines for v in by)
    low = min(v for _, by, _ in lines for v in by)
    x = lambda i: LEFT + (W - LEFT - RIGHT) * i / (len(LABELS) - 1)
    y = lambda v: TOP + (H - TOP - 50) * (top - v) / (top - low)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {W} {H}" font-family="sans-serif" font-size="12">',
           f'<rect width="{W}" height="{H}" fill="white"/>']
    tick = 0.5 if top - low > 1.5 else 0.25
    v = -(-low // tick) * tick
    while v <= top:
        out.append(f'<line x1="{LEFT}" x2="{W - RIGHT}" y1="{y(v):.1f}" y2="{y(v):.1f}" stroke="#ddd"/>'
                   f'<text x="{LEFT - 8}" y="{y(v) + 4:.1f}" text-anchor="end">{v:g}</text>')
        v += tick
    for i, label in enumerate(LABELS):
        out.append(f'<text x="{x(i):.1f}" y="{H - 30}" text-anchor="middle">{label}</text>')
    out.append(f'<text x="{(LEFT + W - RIGHT) / 2}" y="{H - 10}" text-anchor="middle">place of the character in its chunk</text>'
               '<text x="8" y="14">nats</text>')
    for n, (name, by, mean) in enumerate(sorted(lines, key=lambda line: line[2])):
        colour = COLOURS[n % len(COLOURS)]
        points = " ".join(f"{x(i):.1f},{y(v):.1f}" for i, v in enumerate(by))
        out.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="{2.5 if "this model" in name else 1.5}"/>')
        out.append(f'<rect x="{W - RIGHT + 14}" y="{TOP + 20 * n}" width="12" height="12" fill="{colour}"/>'
                   f'<text x="{W - RIGHT + 32}" y="{TOP + 20 * n + 11}">{name.removesuffix(", folded").replace("this model", "VIST2")} {mean:.3f}</text>')
    print("\n".join(out + ["</svg>"]))


main()
