#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""bench_plot.py JSON SVG: the figures of bench.json as a picture."""

import json
import sys

try:
    import matplotlib
except ImportError:
    sys.exit("bench_plot: there is no matplotlib for /usr/bin/python3; mend it with: apt-get install python3-matplotlib")

matplotlib.use("svg")
matplotlib.rcParams.update({"svg.hashsalt": "emt", "font.size": 8, "axes.grid": True, "grid.alpha": 0.3})
import matplotlib.pyplot as plt     # noqa: E402

COLOURS = {"EMT dgram": "#f4a582", "EMT RDM": "#d6604d", "EMT records": "#b2182b", "EMT stream": "#67001f"}
OTHERS = ("#053061", "#4393c3", "#5aae61", "#1b7837", "#762a83", "#c2a5cf", "#8c6d31", "#bd9e39", "#636363")


def main(source, target):
    with open(source) as file:
        data = json.load(file)
    got = {(r["mode"], r["bytes"], r["family"]): r["cost"] for r in data["results"] if "cost" in r}
    rows = list(dict.fromkeys(r["family"] for r in data["results"]))
    colours = dict(zip([r for r in rows if r not in COLOURS], OTHERS)) | COLOURS
    figure, axes = plt.subplots(2, 3, figsize=(15, 8.5))

    trips = axes[0][0]
    for row in rows:
        points = sorted((size, cost) for (mode, size, name), cost in got.items() if mode == "roundtrip" and name == row)
        trips.plot(*zip(*points), marker="o", markersize=3, label=row, color=colours[row],
                   linewidth=2 if row in COLOURS else 1)
    trips.set(xscale="log", yscale="log", xlabel="bytes", title=f"Round trip ({data['unit']})")
    trips.legend(fontsize=6, ncol=2)

    bars = (("oneway", 100, "One way, 100 B"), ("oneway", 1000, "One way, 1000 B"), ("bulk", 65536, "Bulk, a write of 64 kB"),
            ("connects", 1, "Connect, accept, close"), ("peers", 100, "64 peers to one, 100 B"))
    for axis, (mode, size, title) in zip(axes.flat[1:], bars):
        have = [row for row in rows if (mode, size, row) in got]
        drawn = axis.barh(have, [got[mode, size, row] for row in have], color=[colours[row] for row in have])
        axis.bar_label(drawn, fmt="%.0f", padding=2, fontsize=7)
        axis.invert_yaxis()
        axis.margins(x=0.15)
        axis.set(title=f"{title} ({data['unit']}; less is better)")
    made = ", ".join(f"{name} {version}" for name, version in data["tools"].items())
    figure.suptitle(f"EMT and its peers, {data['cpus']} CPU{'s' if data['cpus'] > 1 else ''}, veth ({made})")
    figure.tight_layout()
    figure.savefig(target, metadata={"Date": None})


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
