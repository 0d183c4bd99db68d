# SPDX-License-Identifier: GPL-2.0
"""What became of the simulation's messages, as figures and as tables."""

import math

# Of the network that guest-sim builds. tc's 10 us are 156 of its ticks.
NS_PER_BYTE = 0.8
DELAY_NS = 9984
PACKET_BYTES = 1514
# What a packet carries, and what it has besides, with TCP's or EMT's headers; and what a message begins with.
PAYLOAD, OVERHEAD, HEAD = 1448, 66, 16
# The first tenth of the messages finds a network that is emptier than later on.
SETTLING = 0.1
CLASSES = (("short", PAYLOAD - HEAD), ("medium", 65536), ("long", math.inf))
WINDOW_NS = 10_000_000
LATE = math.inf


def wire(size):
    """Bytes on the wire of a message."""
    return size + HEAD + -(-(size + HEAD) // PAYLOAD) * OVERHEAD


def best(size):
    """Nanoseconds on an idle network: a link lets a packet's worth of bytes pass at once, see guest-sim."""
    return DELAY_NS + max(0, wire(size) - PACKET_BYTES) * NS_PER_BYTE


def percentile(ordered, part):
    """By rank; of what was not finished, None."""
    if not ordered:
        return None
    value = ordered[max(0, math.ceil(part * len(ordered)) - 1)]
    return None if value == LATE else round(value, 3)


def spread(values):
    ordered = sorted(values)
    return {"count": len(ordered), "p50": percentile(ordered, 0.5), "p99": percentile(ordered, 0.99)}


def slowdown(row):
    _, _, _, size, answer, start, finish = row
    ideal = best(size) + (best(answer) if answer else 0)
    return (finish - start) / ideal if finish >= 0 else LATE


def digest_load(rows, hosts):
    rows = sorted(rows, key=lambda r: r[5])
    rows = rows[int(len(rows) * SETTLING):]
    sized = sorted(((r[3], slowdown(r)) for r in rows), key=lambda v: v[0])
    at, classes = 0, {}
    for name, most in CLASSES:
        chosen = [s for size, s in sized if at < size <= most]
        classes[name] = spread(chosen)
        at = most
    parts = [sized[len(sized) * i // 10:len(sized) * (i + 1) // 10] for i in range(10)]
    deciles = [{"up_to": part[-1][0]} | spread([s for _, s in part]) for part in parts if part]
    done = [r for r in rows if r[6] >= 0]
    took = max(r[6] for r in done) - rows[0][5]
    carried = sum(wire(r[3]) + (wire(r[4]) if r[4] else 0) for r in done)
    return {"classes": classes, "deciles": deciles, "carried": round(carried * NS_PER_BYTE / took / hosts, 4)}


def digest_incast(rows, _):
    rows = [r for r in rows if r[4] > 1]
    done = [r for r in rows if r[6] >= 0]
    if not done:
        return {"share": 0}
    took = max(r[6] for r in done) - rows[0][5]
    return {"share": round(sum(wire(r[4]) for r in done) * NS_PER_BYTE / took, 4)}


def digest_bulk(rows, _):
    short = [r for r in rows if r[1] == 2]
    flow = [r for r in rows if r[1] == 1]
    begin, end = min(r[5] for r in short), max(r[5] for r in short)
    carried = sum(wire(r[3]) for r in flow if begin < r[6] <= end)
    times = spread([(r[6] - r[5]) / 1000 if r[6] >= 0 else LATE for r in short])
    return {"short": spread([slowdown(r) for r in short]), "short_us": times,
            "share": round(carried * NS_PER_BYTE / (end - begin), 4)}


def jain(rates):
    return sum(rates) ** 2 / (len(rates) * sum(r * r for r in rates)) if sum(rates) else 0


def digest_fair(rows, _):
    """While all flows have something to send."""
    flows = sorted({r[1] for r in rows})
    ends = [max((r[6] for r in rows if r[1] == f and r[6] >= 0), default=-1) for f in flows]
    end = min(ends)
    if end <= 0:
        return {"jain": 0, "share": 0, "worst": 0}

    def rates(begin, end):
        return [sum(r[3] for r in rows if r[1] == f and begin < r[6] <= end) for f in flows]
    windows = [jain(rates(t, t + WINDOW_NS)) for t in range(0, end - WINDOW_NS + 1, WINDOW_NS)]
    carried = sum(wire(r[3]) for r in rows if 0 <= r[6] <= end)
    return {"jain": round(jain(rates(0, end)), 4), "worst": round(min(windows, default=0), 4),
            "share": round(carried * NS_PER_BYTE / end, 4)}


DIGESTS = {"load": digest_load, "trip": digest_load, "incast": digest_incast, "bulk": digest_bulk, "fair": digest_fair}


def digest(kind, rows, hosts):
    return {"messages": len(rows), "unfinished": sum(r[6] < 0 for r in rows)} | DIGESTS[kind](rows, hosts)


def number(value):
    if value is None:
        return "late"
    return f"{value:.0f}" if value >= 1000 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def pair(values):
    return f"{number(values['p50'])}/{number(values['p99'])}" if values["count"] else "-"


def table(title, heads, rows):
    widths = [max(len(line[i]) for line in [heads, *rows]) for i in range(len(heads))]
    lines = [title, ""]
    for line in [heads, *rows]:
        lines.append("  " + line[0].ljust(widths[0]) + "".join("  " + w.rjust(n) for w, n in zip(line[1:], widths[1:])))
    return "\n".join(lines)


NOTES = """\
Virtual time: CPUs take none, for any family, and so no figure here holds their cost. {hosts} hosts behind a switch,
10 Gbit/s, 10 us, 500,000 bytes of buffer for each port of the switch, MTU 1500; a packet that finds its link idle
passes at once. Every message was compared, byte by byte, with what was sent. Slowdown: the time from a message's arrival at
its sender until all of it was received, divided by what it takes on an idle network by computation ({head} bytes of head and
{payload} bytes in a packet of {packet}, whatever the family). P50/P99; "late": more than that share was not finished
within 10 s. Linux {linux}, HZ={hz}."""


def classes(data, kind, title):
    found = [r for r in data["results"] if r["kind"] == kind and "classes" in r]
    tables_ = []
    for what in dict.fromkeys(r["what"] for r in found):
        workload, percent = what.split()
        rows = []
        for r in (r for r in found if r["what"] == what):
            rows.append([r["family"], *(pair(r["classes"][name]) for name, _ in CLASSES), f"{r['carried']:.1%}",
                         str(r["dropped"]), str(r["unfinished"]), str(r["messages"])])
        tables_.append(table(f"{workload.upper()}, {percent}% load, {title}: slowdown",
                             ["", *(name for name, _ in CLASSES), "carried", "dropped", "unfinished", "messages"], rows))
    return tables_


def tables(data):
    results = data["results"]
    text = [NOTES.format(hosts=8, head=HEAD, payload=PAYLOAD, packet=PACKET_BYTES, **data["tools"])]
    text += classes(data, "load", "one way")
    text += classes(data, "trip", "request and answer of one size")
    families = list(dict.fromkeys(r["family"] for r in results))

    def of(kind):
        return [r for r in results if r["kind"] == kind and "why_not" not in r]
    what = list(dict.fromkeys(r["what"] for r in of("incast")))
    if what:
        got = {(r["what"], r["family"]): r for r in of("incast")}
        rows = [[f, *(f"{got[w, f]['share']:.1%}" if (w, f) in got else "-" for w in what)] for f in families]
        text.append(table("Incast: senders x size that answer one host at once; what it receives, of its link", ["", *what], rows))
    if of("bulk"):
        rows = [[r["family"], pair(r["short"]), pair(r["short_us"]), f"{r['share']:.1%}", str(r["dropped"])] for r in of("bulk")]
        text.append(table("Short messages (100 and 1000 bytes) from one host beside a flow from another, to the same",
                          ["", "slowdown", "us", "flow, of the link", "dropped"], rows))
    if of("fair"):
        rows = [[r["family"], f"{r['jain']:.4f}", f"{r['worst']:.4f}", f"{r['share']:.1%}", str(r["dropped"])] for r in of("fair")]
        text.append(table("Four flows to one host: Jain's index, over all and in the worst 10 ms; all of them, of the link",
                          ["", "Jain", "worst", "share", "dropped"], rows))
    missing = [f"  {r['name']}: {r['why_not']}" for r in results if "why_not" in r]
    if missing:
        text.append("No figure, and why:\n" + "\n".join(missing))
    return "\n\n".join(text)
