#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""DIR/raw/*.json of tools/testing/bench/run -> DIR/bench.md, bench.csv, bench.svg.

A ratio is the speed of Rust over the speed of C: above 1 Rust is faster (or smaller).
"""

import csv
import json
import pathlib
import sys
from html import escape
from statistics import median


def load(raw, mode):
    """[{kernel: answer}], one for each run or round."""
    runs = []
    for path in sorted(raw.glob(f"{mode}-*-c.json")):
        pair = {}
        for kernel in ("c", "rust"):
            pair[kernel] = json.loads(path.with_name(path.name.replace("-c.", f"-{kernel}.")).read_text())
            if pair[kernel]["kernel"] != kernel:
                sys.exit(f"report: {path} is of the {pair[kernel]['kernel']} kernel")
        runs.append(pair)
    return runs


def summary(name, c, rust, faster_is_more):
    """One row: medians, the ratio of each pair, their median and how far they are apart."""
    ratios = [(r / c) if faster_is_more else (c / r) for c, r in zip(c, rust)]
    return {
        "row": name,
        "c": median(c),
        "rust": median(rust),
        "ratio": median(ratios),
        "low": min(ratios),
        "high": max(ratios),
    }


def table(runs, faster_is_more, key="value"):
    for name in runs[0]["c"]["rows"]:
        c, rust = ([run[kernel]["rows"][name][key] for run in runs] for kernel in ("c", "rust"))
        yield summary(name, c, rust, faster_is_more)


def number(value):
    return f"{value:,.0f}".replace(",", " ")


def spread(row):
    return "identical" if row["low"] == row["high"] else f"{row['low']:.3f} – {row['high']:.3f}"


def lines(rows, unit, one_run):
    yield f"| {unit} | C | Rust | Rust less C | Rust/C speed | spread |"
    yield "|---|---:|---:|---:|---:|---|"
    for row in rows:
        what = "one run" if one_run else spread(row)
        more = row["rust"] - row["c"]
        sign = "−" if more < 0 else "+" if more > 0 else ""
        columns = (row["row"], number(row["c"]), number(row["rust"]), sign + number(abs(more)), f"{row['ratio']:.3f}", what)
        yield f"| {' | '.join(columns)} |"
    yield ""


def sites(runs):
    """Where the memory of the two differs."""
    of = {
        kernel: {f"{kind} {site}": (count, total) for kind, site, count, total in runs[0][kernel]["memory"]["sites"]}
        for kernel in ("c", "rust")
    }
    for site in sorted(set(of["c"]) | set(of["rust"])):
        (c_count, c), (r_count, r) = (of[kernel].get(site, (0, 0)) for kernel in ("c", "rust"))
        if c != r:
            short = site if len(site) <= 60 else site[:28] + "…" + site[-30:]
            yield f"| `{short}` | {c} in {c_count} | {r} in {r_count} |"


def plot(exact, timing):
    """A bar for each row: how far Rust's speed is from C's."""
    bar, gap, left, width, most = 11, 8, 270, 520, 2.0
    height = 90 + len(exact) * (2 * bar + gap)

    def x(ratio):
        return left + width * min(ratio, most) / most

    svg = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 70}" height="{height}"'
        ' font-family="sans-serif" font-size="12">',
        f'<rect width="{left + width + 70}" height="{height}" fill="white"/>',
        '<text x="10" y="20" font-size="15">pmem: speed of Rust / speed of C (above 1: Rust is faster)</text>',
        '<rect x="10" y="32" width="12" height="10" fill="#b7410e"/><text x="27" y="41">by guest instructions per operation</text>',
        '<rect x="270" y="32" width="12" height="10" fill="#8fa3ad"/>'
        '<text x="287" y="41">by time under emulation; whiskers: lowest and highest round</text>',
    ]
    for tick in (0, 0.5, 1, 1.5, 2):
        stroke = "#000" if tick == 1 else "#ddd"
        svg.append(f'<line x1="{x(tick)}" y1="62" x2="{x(tick)}" y2="{height - 15}" stroke="{stroke}"/>')
        svg.append(f'<text x="{x(tick)}" y="58" text-anchor="middle">{tick:g}</text>')
    y = 68
    by_name = {row["row"]: row for row in timing}
    for row in exact:
        svg.append(f'<text x="{left - 8}" y="{y + bar + 4}" text-anchor="end">{escape(row["row"])}</text>')
        for kind, colour in ((row, "#b7410e"), (by_name.get(row["row"]), "#8fa3ad")):
            if kind:
                svg.append(
                    f'<rect x="{left}" y="{y}" width="{x(kind["ratio"]) - left:.1f}" height="{bar}" fill="{colour}" fill-opacity="0.85"/>'
                )
                end = max(kind["ratio"], kind["high"] if kind is not row else 0)
                svg.append(f'<text x="{x(end) + 5:.1f}" y="{y + bar - 1}" font-size="10">{kind["ratio"]:.2f}</text>')
                if kind is not row:
                    middle = y + bar / 2
                    svg.append(
                        f'<line x1="{x(kind["low"]):.1f}" y1="{middle}" x2="{x(kind["high"]):.1f}" y2="{middle}" stroke="#333"/>'
                    )
            y += bar
        y += gap
    svg.append("</svg>")
    return "\n".join(svg) + "\n"


def main():
    out = pathlib.Path(sys.argv[1])
    icount, timed = load(out / "raw", "icount"), load(out / "raw", "timing")
    exact, timing = list(table(icount, False)), list(table(timed, True))
    switches = list(table_switches(icount))
    memory = []
    for key, name in (
        ("slab", "slab objects of one device"),
        ("percpu", "per-CPU memory of one device, for one CPU"),
        ("module", "the module nd_pmem, once"),
    ):
        c, rust = ([run[kernel]["memory"][key] for run in icount] for kernel in ("c", "rust"))
        memory.append(summary(name, c, rust, False))

    worst = min(exact, key=lambda row: row["ratio"])
    apart = max(row["high"] - row["low"] for row in exact)
    text = ["# pmem: Rust against C", ""]
    text += ["The ratio is Rust's speed over C's: above 1 Rust is faster. tools/testing/bench/README.md says how it is measured.", ""]
    text += ["## Guest instructions of one operation", ""]
    text += lines(exact, "instructions", len(icount) == 1)
    repeat = f"Measured {len(icount)} times; a ratio differs by {apart:.3f} at most. " if len(icount) > 1 else ""
    text += [f"{repeat}Lowest ratio: {worst['ratio']:.3f}, {worst['row']}.", ""]
    text += ["## Context switches of one operation", "", "| io_uring | C | Rust |", "|---|---:|---:|"]
    text += [f"| {name} | {c:.3f} | {rust:.3f} |" for name, c, rust in switches] + [""]
    text += ["## Memory in bytes", ""] + list(lines(memory, "bytes", len(icount) == 1))
    text += ["Where the two differ (allocated by, bytes in objects):", "", "| | C | Rust |", "|---|---:|---:|"]
    text += list(sites(icount)) + [""]
    text += [f"## Operations per second under emulation, rounds in turns: {len(timed)}", ""]
    if any(row["high"] > 1.5 * row["low"] for row in timing):
        text += ["**The host was busy: rows apart by half and more. Take the instructions, or measure again.**", ""]
    text += lines(timing, "operations per second", len(timed) == 1)
    (out / "bench.md").write_text("\n".join(text))

    with open(out / "bench.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("measure", "row", "c", "rust", "rust_over_c_speed", "lowest", "highest"))
        for measure, rows in (("instructions", exact), ("bytes", memory), ("per_second", timing)):
            for row in rows:
                ratios = (f"{row[key]:.4f}" for key in ("ratio", "low", "high"))
                writer.writerow((measure, row["row"], row["c"], row["rust"], *ratios))
        for name, c, rust in switches:
            writer.writerow(("context_switches", name, c, rust, "", "", ""))
    (out / "bench.svg").write_text(plot(exact, timing))


def table_switches(runs):
    for name in runs[0]["c"]["rows"]:
        if "io_uring" in name:
            yield name, *(median(run[kernel]["rows"][name]["switches"] for run in runs) for kernel in ("c", "rust"))


main()
