#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""sim_plot.py JSON SVG: the slowdowns of sim.json by size, as the papers on Homa draw them."""

import json
import sys

try:
    import matplotlib
except ImportError:
    sys.exit("sim_plot: no picture, there is no matplotlib for /usr/bin/python3; mend it with: apt-get install python3-matplotlib")

matplotlib.use("svg")
matplotlib.rcParams.update({"svg.hashsalt": "emt", "font.size": 8, "axes.grid": True, "grid.alpha": 0.3})
import matplotlib.pyplot as plt     # noqa: E402

COLOURS = {"TCP": "#053061", "DCTCP": "#4393c3", "SCTP": "#5aae61", "EMT RDM": "#d6604d", "EMT records": "#b2182b",
           "EMT stream": "#67001f"}


def size(count):
    for unit, name in ((1_000_000, "M"), (1000, "k")):
        if count >= unit:
            return f"{count / unit:.3g}{name}"
    return str(count)


def main(source, target):
    with open(source) as file:
        data = json.load(file)
    results = [r for r in data["results"] if "deciles" in r]
    columns = list(dict.fromkeys((r["kind"], r["what"]) for r in results))
    if not columns:
        sys.exit("sim_plot: no picture, since no workload was measured")
    wide = 5
    high = -(-len(columns) // wide)
    figure, axes = plt.subplots(high, wide, figsize=(20, 4.2 * high), squeeze=False)
    for axis in axes.flat[len(columns):]:
        axis.set_visible(False)
    for axis, (kind, what) in zip(axes.flat, columns):
        ticks = []
        for r in (r for r in results if (r["kind"], r["what"]) == (kind, what)):
            colour = COLOURS.get(r["family"])
            ticks = ticks or [size(d["up_to"]) for d in r["deciles"]]
            for which, line in (("p99", "-"), ("p50", ":")):
                points = [(i, d[which]) for i, d in enumerate(r["deciles"]) if d[which] is not None]
                if points:
                    axis.plot(*zip(*points), line, color=colour, linewidth=1.2,
                              label=r["family"] if which == "p99" else None)
        workload, percent = what.split()
        way = "one way" if kind == "load" else "request and answer"
        axis.set(yscale="log", title=f"{workload.upper()}, {percent}% load, {way}", xlabel="bytes, tenths of the messages",
                 ylabel="slowdown, P99 and (dotted) P50")
        axis.set_xticks(range(len(ticks)), ticks, rotation=60)
        axis.legend(fontsize=6)
    figure.suptitle(f"Messages on a simulated network, CPUs cost nothing (Linux {data['tools']['linux']})")
    figure.tight_layout()
    figure.savefig(target, metadata={"Date": None})


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
