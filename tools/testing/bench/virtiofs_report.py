#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""DIR/raw/*.json of tools/testing/bench/virtiofs -> DIR/virtiofs.md and virtiofs.csv.

A ratio is the speed of Rust over that of the other, the median over the rounds: above 1 Rust is
faster.  Requests are those of all rounds over the bytes that were accessed in them; so, in
virtiofs.csv alone, are QEMU's maps and unmaps and the microseconds that they took.
"""

import csv
import json
import pathlib
import sys
from statistics import median

KINDS = ("c", "rust", "never")
MIB = 1 << 20
BLOCK = 4096


def load(raw):
    """[{kind: rows}], one for each round."""
    rounds = {}
    for path in raw.glob("*.json"):
        number, kind = path.stem.split("-")
        rounds.setdefault(int(number), {})[kind] = json.loads(path.read_text())["rows"]
    return [rounds[number] for number in sorted(rounds)]


def speed(row):
    """MiB/s."""
    return row["ops"] * BLOCK / MIB / (row["ns"] / 1e9)


def per_mib(rows, what="requests"):
    """Requests, or what else was counted, for a MiB that was accessed."""
    if not all(what in row for row in rows):
        return None
    return sum(row[what] for row in rows) / (sum(row["ops"] + row["warm"] for row in rows) * BLOCK / MIB)


def number(value, digits=0):
    return "–" if value is None else f"{value:,.{digits}f}".replace(",", " ")


def main():
    out = pathlib.Path(sys.argv[1])
    rounds = load(out / "raw")
    kinds = [kind for kind in KINDS if all(kind in one for one in rounds)]
    lines, table = [], []
    for name in rounds[0][kinds[0]]:
        rows = {kind: [one[kind][name] for one in rounds] for kind in kinds}
        mine = {kind: median(map(speed, rows[kind])) for kind in kinds}
        ratio = {
            kind: median(speed(r) / speed(o) for r, o in zip(rows["rust"], rows[kind])) if "rust" in rows and kind in rows else None
            for kind in ("c", "never")
        }
        asked = {kind: per_mib(rows[kind]) if kind in rows else None for kind in ("c", "rust")}
        vmm = [per_mib(rows[kind], what) if kind in rows else None for what in ("vmm", "vmm_us") for kind in ("c", "rust")]
        table.append((name, mine, ratio, asked, vmm))
    lines.append("| 4 KiB, MiB/s | C | Rust | no DAX (virtiofsd) | Rust/C | Rust/no DAX | requests a MiB, C | Rust |")
    lines.append("|---|---:|---:|---:|---:|---:|---:|---:|")
    for name, mine, ratio, asked, _ in table:
        speeds = (number(mine.get(kind), 1) for kind in KINDS)
        ratios = (number(ratio[kind], 2) for kind in ("c", "never"))
        requests = (number(asked[kind], 3) for kind in ("c", "rust"))
        lines.append(f"| {' | '.join((name, *speeds, *ratios, *requests))} |")
    lines += ["", f"Rounds, in turns: {len(rounds)}."]
    for title, pick in (
        ("Lowest Rust/C up to one window", ("0.5x", "1x")),
        ("Lowest Rust/C at four windows, zipf", ("zipf",)),
        ("Lowest Rust/C of all", ("",)),
    ):
        found = [(row[2]["c"], row[0]) for row in table if row[2]["c"] is not None and any(word in row[0] for word in pick)]
        if found:
            lines.append(f"{title}: {min(found)[0]:.2f}, {min(found)[1]}.")
    more = [row[0] for row in table if None not in row[3].values() and row[3]["rust"] > row[3]["c"] * 1.02]
    if "c" in kinds and "rust" in kinds:
        lines.append(f"More requests a byte than C: {', '.join(more) or 'nowhere'}.")
    (out / "virtiofs.md").write_text("\n".join(lines) + "\n")
    with open(out / "virtiofs.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("row", *(f"{kind}_mib_s" for kind in KINDS), "rust_over_c", "rust_over_never", "c_requests_mib", "rust_requests_mib", "c_vmm_mib", "rust_vmm_mib", "c_vmm_us_mib", "rust_vmm_us_mib"))
        for name, mine, ratio, asked, vmm in table:
            writer.writerow((name, *(mine.get(kind, "") for kind in KINDS), ratio["c"], ratio["never"], asked["c"], asked["rust"], *vmm))


main()
