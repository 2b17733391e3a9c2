"""Speed of dumps and loads beside C pickle and other serializers: `make bench`.

All peers run in turn, in one process, in another order each round; processor time, garbage collected before each run.
Before anything is timed, torshi must have written C pickle's bytes and read its values, and every other peer must have
given the value back whole, or it is left out of that workload and the reason kept. Loads are torshi's default, checked
ones, with the workload's own classes trusted, beside loads that check nothing.

A ratio is C pickle's time divided by the peer's: over 1 is faster. "shortest" compares the shortest times; "paired"
is the median of the ratios of neighbours. The peer "control" is C pickle again: what differs there is noise.
Protocol 5. Nothing is compared with a figure from another run or machine.

Examples:
  speed.py                                    the short workloads
  speed.py --suite large --only api           the long ones whose name has "api" in it
  speed.py --suite all --json speed.json --markdown speed.md
  speed.py --suite all --only "message; documents" --peers "msgspec; orjson" --rounds 30
"""

from __future__ import annotations

import argparse
import json
import math
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import machine
from fidelity import lost
from peers import BASE, CONTROL, OURS, PEERS, Peer, Ways, installed
from suites import add_options, chosen
from timing import interleaved, paired, shown
from workloads import Workload

SIDES = ("dumps", "loads")
#: Errors of a codec that cannot represent a value; torshi and C pickle must not raise any.
REFUSED = (TypeError, ValueError, OverflowError, RecursionError)


def same(left: Any, right: Any) -> bool:
    return pickle.dumps(left, 5) == pickle.dumps(right, 5)


def streams(workload: Workload, value: Any, dumps: Callable[[Any], bytes]) -> list[bytes]:
    """What one peer writes for a workload: one stream, or one for each message."""
    return [dumps(message) for message in value] if workload.each else [dumps(value)]


def read(workload: Workload, written: list[bytes], loads: Callable[[bytes], Any]) -> Any:
    values = [loads(data) for data in written]
    return values if workload.each else values[0]


class Checked:
    """The peers that may be timed on a workload, with what they wrote; and why the others may not."""

    def __init__(self, workload: Workload, found: dict[Peer, ModuleType]) -> None:
        self.ways: dict[str, Ways] = {}
        self.written: dict[str, list[bytes]] = {}
        self.cannot: dict[str, str] = {}
        value = workload.make()
        for peer, module in found.items():
            ways = peer.ways(module, workload)
            if ways is None:
                continue
            reason = self._try(workload, value, peer, ways)
            if reason is None:
                self.ways[peer.name] = ways
            elif peer.name in (BASE, OURS):
                raise SystemExit(f"{workload.name}: {peer.name}: {reason}")
            else:
                self.cannot[peer.name] = reason

    def _try(self, workload: Workload, value: Any, peer: Peer, ways: Ways) -> str | None:
        """Writes and reads once; what is wrong with the outcome, or `None`."""
        try:
            written = streams(workload, value, ways[0])
            back = read(workload, written, ways[1])
        except REFUSED as error:
            return f"{type(error).__name__}: {str(error)[:100]}"
        self.written[peer.name] = written
        if peer.name == BASE:
            return None
        if peer.name == OURS and written != self.written[BASE]:
            return "writes other bytes than C pickle"
        if not peer.pickles:
            return lost(value, back)
        stock = read(workload, self.written[BASE], self.ways[BASE][1])
        # Message by message: what two of them share is nobody's promise.
        pairs = zip(back, stock, strict=True) if workload.each else [(back, stock)]
        return None if all(same(*pair) for pair in pairs) else "reads another value than C pickle"


def timed(workload: Workload, checked: Checked, rounds: int) -> dict[str, dict[str, list[float]]]:
    """Times of every peer in seconds a call, one a round, of either side."""
    value = workload.make()
    times = workload.times

    def writer(dumps: Callable[[Any], bytes]) -> Callable[[Any], object]:
        return repeated(dumps, times, workload.each)

    def reader(loads: Callable[[bytes], Any]) -> Callable[[Any], object]:
        return repeated(loads, times, workload.each)

    out = {name: writer(ways[0]) for name, ways in checked.ways.items()}
    back = {name: reader(ways[1]) for name, ways in checked.ways.items()}
    # One stream for all that read pickles: the bytes are the same, which `Checked` has made sure of for torshi.
    data = {name: written if workload.each else written[0] for name, written in checked.written.items()}
    both = {
        "dumps": interleaved(out, rounds, prepare=lambda _: workload.make() if workload.fresh else value),
        "loads": interleaved(back, rounds, prepare=lambda name: data[name]),
    }
    calls = times * (len(value) if workload.each else 1)
    return {side: {n: [t / calls for t in row] for n, row in rows.items()} for side, rows in both.items()}


def repeated(function: Callable[[Any], object], times: int, each: bool) -> Callable[[Any], object]:
    if each:

        def all_of(messages: list[Any]) -> None:
            for _ in range(times):
                for message in messages:
                    function(message)

        return all_of
    if times == 1:
        return function

    def many(argument: Any) -> None:
        for _ in range(times):
            function(argument)

    return many


def measured(workload: Workload, found: dict[Peer, ModuleType], rounds: int) -> dict[str, Any]:
    """The record of one workload, as it stands in the JSON."""
    checked = Checked(workload, found)
    record: dict[str, Any] = {
        "bytes": sum(map(len, checked.written[BASE])),
        "each": workload.each,
        "cannot": checked.cannot,
    }
    for side, rows in timed(workload, checked, rounds).items():
        base = rows[BASE]
        record[side] = {
            name: {"seconds": min(row), "shortest": min(base) / min(row), "paired": paired(base, row)}
            for name, row in rows.items()
        }
    return record


def mean(ratios: list[float]) -> float:
    return math.exp(sum(map(math.log, ratios)) / len(ratios))


def summary(records: dict[str, Any], side: str) -> str:
    ratios = {name: record[side][OURS]["shortest"] for name, record in records.items()}
    least = min(ratios, key=ratios.__getitem__)
    ahead = sum(ratio > 1 for ratio in ratios.values())
    pairs = mean([record[side][OURS]["paired"] for record in records.values()])
    return (
        f"{side}: geometric mean {mean(list(ratios.values())):.2f}x (paired {pairs:.2f}x), "
        f"least {ratios[least]:.2f}x ({least}), faster on {ahead} of {len(ratios)} workloads"
    )


def spread(records: dict[str, Any]) -> str:
    """How far C pickle is from itself."""
    off = [
        record[side][CONTROL][way]
        for record in records.values()
        for side in SIDES
        for way in ("shortest", "paired")
        if CONTROL in record[side]
    ]
    if not off:
        return "control not measured"
    return f"control (C pickle beside itself, a measure of the noise): {min(off):.2f}x to {max(off):.2f}x"


def cells(record: dict[str, Any], side: str, names: list[str]) -> list[str]:
    row = record[side]
    return [f"{row[name]['shortest']:.2f}x" if name in row else "-" for name in names]


def table(records: dict[str, Any], names: list[str]) -> list[str]:
    """Two tables of Markdown, of dumps and of loads."""
    lines = []
    for side in SIDES:
        head = ["workload", "bytes", f"{BASE}, {side}", f"{OURS}, shortest", f"{OURS}, paired", *names]
        lines += ["", "| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
        for name, record in records.items():
            ours = record[side][OURS]
            cell = [name, f"{record['bytes']:,}", shown(record[side][BASE]["seconds"])]
            cell += [f"**{ours['shortest']:.2f}x**", f"{ours['paired']:.2f}x", *cells(record, side, names)]
            lines.append("| " + " | ".join(cell) + " |")
        means = [f"**{mean([r[side][OURS][way] for r in records.values()]):.2f}x**" for way in ("shortest", "paired")]
        of_peers = []
        for peer in names:
            rows = [r[side][peer]["shortest"] for r in records.values() if peer in r[side]]
            of_peers.append(f"{mean(rows):.2f}x of {len(rows)}" if rows else "-")
        lines.append("| " + " | ".join(["**geometric mean**", "", "", *means, *of_peers]) + " |")
    return lines


def document(result: dict[str, Any], names: list[str]) -> str:
    """Everything a reader needs beside the figures, as Markdown to be pasted."""
    records = result["workloads"]
    lines = [machine.paragraph(result["machine"]), "", result["same"] + ".", "", *table(records, names), ""]
    lines += [f"* {summary(records, side)}" for side in SIDES]
    lines += [f"* {spread(records)}", ""]
    lines += [f"* {peer.name} cannot represent: {peer.cannot}." for peer in PEERS if peer.cannot and peer.name in names]
    lines += [f"* not installed: {', '.join(result['missing'])}." for _ in [0] if result["missing"]]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10, help="times each is run (default: 10)")
    add_options(parser, default="short")
    parser.add_argument("--peers", default="", metavar="NAMES", help="only these peers, separated by semicolons")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write all figures, and all reasons, there too")
    parser.add_argument("--markdown", metavar="FILE", type=Path, help="write the tables there too")
    arguments = parser.parse_args()
    if arguments.rounds < 1:
        parser.error("--rounds must be at least 1")
    selected = chosen(arguments)
    found, missing = installed(arguments.peers)
    names = [peer.name for peer in found if peer.name not in (BASE, OURS)]
    about = machine.described()
    print(machine.paragraph(about))
    for name in missing:
        print(f"{name}: left out, it is not installed")
    print(f"\n{'':20} {'':5} {BASE:>10} {OURS:>8} {'paired':>8} " + " ".join(f"{name:>14}" for name in names))
    records: dict[str, Any] = {}
    for workload in selected:
        record = records[workload.name] = measured(workload, found, arguments.rounds)
        for side in SIDES:
            row, others = record[side], cells(record, side, names)
            print(
                f"{workload.name if side == 'dumps' else '':20} {side:5} {shown(row[BASE]['seconds']):>10} "
                f"{row[OURS]['shortest']:7.2f}x {row[OURS]['paired']:7.2f}x "
                + " ".join(f"{cell:>14}" for cell in others),
                flush=True,
            )
    same = (
        f"torshi and C pickle wrote the same bytes for all {len(records)} workloads, "
        "so that a load of the one's stream is a load of the other's"
    )
    result = {"machine": about, "rounds": arguments.rounds, "missing": missing, "same": same, "workloads": records}
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if arguments.markdown:
        arguments.markdown.write_text(document(result, names), encoding="utf-8")
    print(f"\n{same}\n{spread(records)}")
    for side in SIDES:
        print(summary(records, side))


if __name__ == "__main__":
    sys.exit(main())
