"""The JSON of `speed.py` as a picture: `make bench`.

One dot a workload and peer, dumps on the left and loads on the right, how many times as fast as C pickle, on a
logarithmic scale. The grey band is as far as C pickle was from itself: what lies in it is no difference. Draws what is
in the file and computes nothing beyond that. The same file gives the same bytes.

Example:
  plot.py speed.json docs/performance.svg
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from peers import CONTROL, OURS
from speed import SIDES

#: Who is drawn, and how; peers further behind or nearly equal to C pickle would only cover the others.
MARKS = {
    OURS: ("o", "#c2410c", 46),
    "msgspec": ("D", "#1d4ed8", 20),
    "msgspec, typed": ("s", "#60a5fa", 20),
    "marshal": ("^", "#15803d", 22),
    "orjson": ("x", "#7e22ce", 22),
    "ormsgpack": ("+", "#0e7490", 28),
}
TICKS = (0.25, 0.5, 1, 2, 4, 8, 16, 32)


def band(records: dict[str, Any], side: str) -> tuple[float, float] | None:
    """The least and the greatest ratio of the control."""
    off = [record[side][CONTROL]["shortest"] for record in records.values() if CONTROL in record[side]]
    return (min(off), max(off)) if off else None


def draw(result: dict[str, Any], into: Path) -> None:
    try:
        import matplotlib
    except ImportError:
        raise SystemExit("no picture without matplotlib: pip install matplotlib, or make bench") from None
    # Before pyplot: text stays text, and the same data gives the same file.
    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "torshi", "font.size": 8})
    from matplotlib import pyplot

    records: dict[str, Any] = result["workloads"]
    names = list(records)
    figure, panels = pyplot.subplots(1, 2, sharey=True, figsize=(9, 1.2 + 0.19 * len(names)), layout="constrained")
    for panel, side in zip(panels, SIDES, strict=True):
        noise = band(records, side)
        if noise:
            panel.axvspan(*noise, color="0.9", zorder=0)
        panel.axvline(1, color="0.4", linewidth=0.8, zorder=1)
        for peer, (marker, color, size) in MARKS.items():
            rows = [
                (records[name][side][peer]["shortest"], y)
                for y, name in enumerate(names)
                if peer in records[name][side]
            ]
            if rows:
                x, y = zip(*rows, strict=True)
                order = 3 if peer == OURS else 2
                panel.scatter(x, y, size, color, marker=marker, label=peer, zorder=order)
        panel.set_xscale("log")
        drawn = [
            row[peer]["shortest"] for row in (records[name][side] for name in names) for peer in MARKS if peer in row
        ]
        ticks = [tick for tick in TICKS if min(drawn) / 2 <= tick <= max(drawn) * 2]
        panel.set_xticks(ticks, [f"{tick:g}x" for tick in ticks])
        panel.minorticks_off()
        panel.grid(axis="x", color="0.85", linewidth=0.5)
        panel.set_title(f"{side}: times as fast as C pickle")
        panel.tick_params(axis="y", length=0)
    panels[0].set_yticks(range(len(names)), names)
    panels[0].invert_yaxis()
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    about = result["machine"]
    figure.suptitle(
        f"Python {about['python']} ({about['build']}), {about['processor']}, torshi {about['versions']['torshi']}",
        fontsize=9,
    )
    figure.savefig(into, format="svg", metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("json", type=Path, help="what `speed.py --json` wrote")
    parser.add_argument("svg", type=Path, help="the picture to write")
    arguments = parser.parse_args()
    result = json.loads(arguments.json.read_text(encoding="utf-8"))
    if not result.get("workloads"):
        raise SystemExit(f"{arguments.json} holds no workloads: was it written by speed.py --json?")
    draw(result, arguments.svg)
    print(f"{arguments.svg}: {len(result['workloads'])} workloads")


if __name__ == "__main__":
    main()
