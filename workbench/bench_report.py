# SPDX-License-Identifier: GPL-2.0
"""What bench measured, as tables and as JSON."""

import bisect
import re
import statistics

OURS = "EMT "
AGREE = 0.005
# Per cent of the time, and less is said of nothing.
IDLE = 3
MODES = {"roundtrip": "Round trip", "oneway": "One way", "bulk": "Bulk", "connects": "Connect, accept, close",
         "peers": "64 peers to one"}
HEADS = {"roundtrip": "trip", "oneway": "way", "bulk": "bulk", "connects": "conn", "peers": "64:1"}


def middle(found):
    """The median of the runs for each result; what has none in one of them has none."""
    merged = {}
    for key in found[0]:
        values = [run.get(key, "was not measured in each run") for run in found]
        reasons = [v for v in values if isinstance(v, str)]
        merged[key] = reasons[0] if reasons else tuple(statistics.median(v) for v in zip(*values))
    return merged


def places(results):
    """The columns (mode, bytes) and the rows (families) in the order of measurement."""
    columns, rows = [], []
    for mode, size, family in results:
        if (mode, size) not in columns:
            columns.append((mode, size))
        if family not in rows:
            rows.append(family)
    return columns, rows


def head(columns):
    sizes = [f"{size // 1000}k" if size >= 10000 else str(size) for _, size in columns]
    modes = [HEADS[mode] for mode, _ in columns]
    return modes, ["" if m in ("conn",) else s for m, s in zip(modes, sizes)]


def table(title, columns, rows, cell):
    width = max(len(row) for row in rows)
    lines = [title, ""]
    for names in head(columns):
        lines.append(f"  {'':{width}}" + "".join(f"{n:>9}" for n in names))
    for row in rows:
        lines.append(f"  {row:{width}}" + "".join(f"{cell(column, row):>9}" for column in columns))
    return "\n".join(lines)


def tables(found, how):
    results = middle(found)
    columns, rows = places(results)
    unit = how["unit"]
    peers = [row for row in rows if not row.startswith(OURS)]

    def value(column, row):
        got = results.get((*column, row))
        return got if isinstance(got, tuple) else None

    def cost(column, row):
        got = value(column, row)
        return f"{got[0]:.0f}" if got else "-"

    def frames(column, row):
        got = value(column, row)
        return f"{got[1]:.2f}" if got else "-"

    def rate(column, row):
        got = value(column, row)
        if not got:
            return "-"
        return f"{column[1] / got[0] * 1000:.0f}" if column[0] == "bulk" else f"{1e6 / got[0]:.1f}"

    def ratio(ours):
        def cell(column, row):
            one, other = value(column, ours), value(column, row)
            return f"{one[0] / other[0]:.2f}" if one and other else "-"
        return cell

    made = ", ".join(f"{name} {version}" for name, version in how["tools"].items())
    if how["unit"] == "instructions":
        first = "One emulated CPU whose clock counts instructions, user space and kernel, both hosts."
    else:
        first = f"Two CPUs, a host on each, by the clock on the wall ({how['cpu'].upper()}): only ratios mean something."
    text = [f"{first}\n{made}.\nTwo namespaces joined by veth; TIPC's shortcut between namespaces of one kernel is off in this kernel "
            "only\n(workbench/config/bench.diff). AF_UNIX stays within one namespace."]
    text.append(table(f"Cost of one operation ({unit}); 64 peers and one way: of a message; bulk: of a write of 64 kB",
                      columns, rows, cost))
    text.append(table("Frames that it took", columns, rows, frames))
    waits = [f"  {family}: {HEADS[mode]} {size}: {got[2]:.0f}%" for (mode, size, family), got in results.items()
             if not isinstance(got, str) and got[2] > IDLE]
    if waits and how["cpus"] == 1:
        text.append("Idle for a part of the time, which is waiting and not work:\n" + "\n".join(waits))
    fast = [c for c in columns if c[0] in ("oneway", "bulk", "peers")]
    text.append(table("In 10^9 of them: thousands of messages; bulk: MB", fast, rows, rate))
    for ours in rows:
        if ours.startswith(OURS):
            text.append(table(f"{ours}: its cost divided by that of each peer; below 1 it costs less", columns, peers, ratio(ours)))
    reasons = {}
    for (mode, size, family), got in results.items():
        if isinstance(got, str):
            reasons.setdefault((family, got), []).append(f"{HEADS[mode]} {size}")
    text.append("No figure, and why:\n" + "\n".join(
        f"  {family}: {', '.join(where)}: {why}" for (family, why), where in reasons.items()))
    text.append(agreement(found, how["cpus"] == 1))
    return "\n\n".join(text)


def agreement(found, counted):
    """How far apart the runs are, and for each figure that is not within AGREE what differed besides."""
    if len(found) < 2:
        return "One run: nothing to compare."
    apart, largest, count = [], 0.0, 0
    for key, first in found[0].items():
        values = [run.get(key) for run in found]
        if not all(isinstance(v, tuple) for v in values):
            continue
        count += 1
        costs, frames, _ = zip(*values)
        spread = max(costs) / min(costs) - 1
        largest = max(largest, spread)
        if spread > AGREE:
            told = " and ".join(f"{f:.2f}" for f in frames)
            why = "other frames, " + told if max(frames) - min(frames) > 0.005 else \
                f"the same {told.split()[0]} frames: the scheduler or memory took other ways"
            apart.append(f"  {key[0]} {key[1]} B, {key[2]}: {spread:.1%} ({why})")
    if not counted:
        few = sum(max(v[0] for v in values) / min(v[0] for v in values) < 1.1 for values in
                  ([run[key] for run in found] for key in found[0]) if all(isinstance(v, tuple) for v in values))
        return f"{few} of {count} figures agree to 10% in {len(found)} runs." + (
            "" if few > 0.9 * count else " This machine is too busy, or its CPUs are emulated: these are not figures to rely on.")
    text = f"{count} figures in {len(found)} runs, the largest difference {largest:.2%}"
    if not apart:
        return text + f": they agree to {AGREE:.1%}."
    return f"{text}; these {len(apart)} differ by more than {AGREE:.1%}:\n" + "\n".join(apart)


def as_json(found, how):
    entries = []
    for (mode, size, family), got in middle(found).items():
        entry = {"mode": mode, "bytes": size, "family": family}
        if isinstance(got, str):
            entry["why_not"] = got
        else:
            entry.update(cost=got[0], frames=got[1], idle=got[2], runs=[run[mode, size, family][0] for run in found])
        entries.append(entry)
    return {**how, "results": entries}


# What the names of functions say of where they are from.
AREAS = (("the program, in user space", r"^\(user space\)$"),
         ("Rust's abstractions of the kernel, and core", r"^[<&]*(kernel|core|alloc)::|rust_helper_"),
         ("EMT", r"emt::"),
         ("copies and clearing of memory", r"copy|memcpy|memset|memmove|clear_|rep_movs|rep_stos"),
         ("memory's management", r"^_*(k[mv]*alloc|kfree|kmem_|slab|alloc_|free_|put_page|page_|folio|get_page|rmqueue|___cache)|slab"),
         ("system calls and interrupts", r"syscall|entry_|^(do|irq|asm|exc|common|sysvec|__irq|tick|hrtimer|ret_from)_|fdget|^fput|__fget"),
         ("the scheduler and its waits", r"sched|switch|wake|wait|task|_fair|enqueue_(?!to)|dequeue|pick_|entity|rq_|avg|vruntime|schedule"),
         ("the network, and everything else of the kernel", r""))


def profile(counts, symbols, rounds, most=60):
    """The table of functions, and the sum, per operation. @symbols: sorted addresses, and their names."""
    addresses, names = symbols
    functions = {}
    for address, count in counts:
        address = int(address, 16)
        at = bisect.bisect_right(addresses, address) - 1
        name = "(user space)"
        if at >= 0 and address >= 1 << 63:
            # The crate is called after its file; what the compiler adds to a name says nothing.
            name = re.sub(r"\.llvm\.\d+$", "", names[at]).replace("emt_main::", "emt::")
        functions[name] = functions.get(name, 0) + int(count) / rounds
    total = sum(functions.values())
    areas = dict.fromkeys((name for name, _ in AREAS), 0)
    for name, count in functions.items():
        areas[next(a for a, pattern in AREAS if re.search(pattern, name))] += count
    order = sorted(functions.items(), key=lambda f: -f[1])
    lines = [f"{'instructions':>14} {'share':>6}  by the names of functions, roughly"]
    lines += [f"{count:14.1f} {count / total:6.1%}  {name}" for name, count in areas.items()]
    lines += ["", f"{'instructions':>14} {'share':>6}  function"]
    lines += [f"{count:14.1f} {count / total:6.1%}  {name[:110]}" for name, count in order[:most]]
    rest = order[most:]
    lines.append(f"{sum(c for _, c in rest):14.1f} {sum(c for _, c in rest) / total:6.1%}  {len(rest)} more")
    return "\n".join(lines), total
