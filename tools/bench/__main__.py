"""`make bench`: what the product does a second, in one run on one machine; redemption beside a bare
echo.

Everything is included: client, server, PostgreSQL with fsync on. Prints a table and writes
build/bench.json; with `--docs` the table in docs/benchmarks.md too. Figures of one kind are
measured in turn, `--rounds` times, and the median is given: shared machines are noisy,
so the ratios
are what counts. `--only` measures one part.
"""

import argparse
import json
import os
import platform
import re
import tempfile
from pathlib import Path
from typing import Any

from tools.bench import large_batches, paying, redemption, searching, travelling
from tools.bench.figures import Figures
from tools.dev.embedded.services import EmbeddedServices

ROOT = Path(__file__).resolve().parents[2]
RESULT = ROOT / "build" / "bench.json"
PAGE = ROOT / "docs" / "benchmarks.md"
MARKS = "<!-- bench -->", "<!-- /bench -->"
MEMORY_REDEMPTIONS = 200_000
PARTS = {
    "redemption": redemption.measure,
    "searching": searching.measure,
    "travelling": travelling.measure,
    "paying": paying.measure,
    "large batches": large_batches.measure,
}
TARGETS = searching.TARGETS | travelling.TARGETS | paying.TARGETS | large_batches.TARGETS


def report(figures: Figures, options: Any) -> dict[str, Any]:
    """The medians, the ratios and the machine, as written to build/bench.json."""
    medians = {name: round(figures.median(name), 2) for name in figures.samples}
    return {
        "machine": f"{os.cpu_count()} cores, Python {platform.python_version()}",
        "options": vars(options) | {"readme": None},
        "medians": {name: [value, figures.units[name]] for name, value in medians.items()},
        "ratios": {
            name: round(medians[a] / medians[b], 2)
            for name, (a, b) in redemption.RATIOS.items()
            if a in medians
        },
        "samples": figures.samples,
    }


def table(result: dict[str, Any]) -> str:
    """The report as Markdown tables."""
    lines = ["| aim | measured | to reach |", "|---|---|---|"]
    lines += [
        f"| {name} | {value:.2f} | ≥ {redemption.TARGETS[name]:.2f} |"
        for name, value in result["ratios"].items()
    ]
    for name, (least_or_most, value) in TARGETS.items():
        if name in result["medians"]:
            measured, unit = result["medians"][name]
            sign = {">=": "≥", "<=": "≤"}[least_or_most]
            lines.append(f"| {name} | {measured:,.2f} {unit} | {sign} {value:,} |")
    lines += ["", "| figure | median | |", "|---|---:|---|"]
    lines += [
        f"| {name} | {value:,.2f} | {unit} |" for name, (value, unit) in result["medians"].items()
    ]
    options = result["options"]
    lines += [
        "",
        (
            f"{result['machine']}; medians of {options['rounds']} rounds;"
            " client, server and database together."
        ),
    ]
    return "\n".join(lines)


def main() -> None:
    """Starts everything, measures, reports."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=6, help="how often each figure is measured")
    parser.add_argument("--size", type=int, default=1_500, help="calls a sample")
    parser.add_argument("--seconds", type=int, default=30, help="length of the open loop")
    parser.add_argument(
        "--memory", type=int, default=MEMORY_REDEMPTIONS, help="redemptions of the memory test"
    )
    parser.add_argument("--only", choices=PARTS, help="measure this part alone")
    parser.add_argument(
        "--docs", action="store_true", help="write the table into docs/benchmarks.md"
    )
    options = parser.parse_args()
    figures = Figures()
    with tempfile.TemporaryDirectory() as folder:
        services = EmbeddedServices.start(Path(folder))
        try:
            for name in [options.only] if options.only else PARTS:
                PARTS[name](services, figures, options)
        finally:
            services.stop()
    result = report(figures, options)
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2))
    print("\n" + table(result) + f"\n\nwritten to {RESULT.relative_to(ROOT)}")
    if options.docs:
        text = PAGE.read_text()
        begin, end = MARKS
        fresh = f"{begin}\n{table(result)}\n{end}"
        PAGE.write_text(re.sub(f"{begin}.*{end}", lambda _: fresh, text, flags=re.DOTALL))


if __name__ == "__main__":
    main()
