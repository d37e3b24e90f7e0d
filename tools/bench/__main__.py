"""`make bench`: what the product does a second, in one run on one machine, beside bare echoes.

Everything is included: client, server, PostgreSQL with fsync on. Two echoes are measured: that of
grpc.aio, which is what a gRPC server in Python costs without us, and that of our own transport.
Beside calls a second stands the CPU of each call in server, PostgreSQL and client; the client is in
Python here, so that calls a second are as much its figure (`tools.bench.pairs` has one in Go).

Prints a table and writes build/bench.json; with `--docs` the table in docs/benchmarks.md too.
Figures of one kind are measured in turn, `--rounds` times, and the median is given: shared machines
are noisy, so the ratios are what counts. `--only` measures one part. All of it takes about half an
hour.
"""

import argparse
import json
import os
import platform
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tools.bench import (
    channels,
    disrupting,
    large_batches,
    listing,
    notifying,
    paying,
    redemption,
    reserving,
    searching,
    terminals,
    travelling,
    webhooks,
)
from tools.bench.figures import Figures, Ratio
from tools.bench.metering import Noise, postmaster
from tools.dev.embedded.services import EmbeddedServices

ROOT = Path(__file__).resolve().parents[2]
RESULT = ROOT / "build" / "bench.json"
PAGE = ROOT / "docs" / "benchmarks.md"
MARKS = "<!-- bench -->", "<!-- /bench -->"
MEMORY_REDEMPTIONS = 200_000
PARTS = {
    "redemption": redemption.measure,
    "terminals": terminals.measure,
    "searching": searching.measure,
    "travelling": travelling.measure,
    "paying": paying.measure,
    "large batches": large_batches.measure,
    "reserving": reserving.measure,
    "webhooks": webhooks.measure,
    "listing": listing.measure,
    "notifying": notifying.measure,
    "disrupting": disrupting.measure,
    "channels": channels.measure,
}
RATIOS = redemption.RATIOS | searching.RATIOS
TARGETS = (
    redemption.TARGETS
    | terminals.TARGETS
    | travelling.TARGETS
    | paying.TARGETS
    | large_batches.TARGETS
    | reserving.TARGETS
    | webhooks.TARGETS
    | notifying.TARGETS
    | disrupting.TARGETS
    | listing.TARGETS
    | channels.TARGETS
)
SIGNS = {">=": "≥", "<=": "≤"}


def report(figures: Figures, noise: str, options: Any) -> dict[str, Any]:
    """The medians, the ratios and the machine, as written to build/bench.json."""
    medians = {name: round(figures.median(name), 2) for name in figures.samples}
    cpu = {name: figures.median_cpu(name) for name in figures.samples}
    server = {name: each.server for name, each in cpu.items() if each and each.server}
    return {
        "machine": f"{os.cpu_count()} cores, Python {platform.python_version()}",
        "noise": noise,
        "options": vars(options),
        "medians": {name: [value, figures.units[name]] for name, value in medians.items()},
        "cpu": {name: [round(part) for part in each] for name, each in cpu.items() if each},
        "ratios": _ratios(RATIOS, medians)
        | _ratios(redemption.CPU_RATIOS | terminals.CPU_RATIOS, server),
        "samples": figures.samples,
    }


def _ratios(ratios: Mapping[str, Ratio], values: Mapping[str, float]) -> dict[str, Any]:
    return {
        name: [round(values[figure] / values[by], 2), sign, target]
        for name, (figure, by, sign, target) in ratios.items()
        if figure in values and by in values
    }


def table(result: dict[str, Any]) -> str:
    """The report as Markdown tables."""
    lines = ["| aim | measured | to reach |", "|---|---|---|"]
    lines += [
        f"| {name} | {value:.2f} | {SIGNS[sign]} {target:.2f} |"
        for name, (value, sign, target) in result["ratios"].items()
    ]
    for name, (sign, target) in TARGETS.items():
        if name in result["medians"]:
            measured, unit = result["medians"][name]
            lines.append(f"| {name} | {measured:,.2f} {unit} | {SIGNS[sign]} {target:,} |")
    lines += ["", "| figure | median | | server µs | PostgreSQL µs | client µs |"]
    lines += ["|---|---:|---|---:|---:|---:|"]
    for name, (value, unit) in result["medians"].items():
        cpu = "".join(f" {part:,} |" for part in result["cpu"].get(name, ())) or " | | |"
        lines.append(f"| {name} | {value:,.2f} | {unit} |{cpu}")
    lines += [
        "",
        (
            f"{result['machine']}; medians of {result['options']['rounds']} rounds; client, server"
            " and database together. µs are of CPU, a call; the client is in Python."
        ),
        "",
        result["noise"],
    ]
    return "\n".join(lines)


def main() -> None:
    """Starts everything, measures, reports."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="how often each figure is measured")
    parser.add_argument("--size", type=int, default=1_500, help="calls a sample")
    parser.add_argument("--seconds", type=int, default=10, help="length of each open loop")
    parser.add_argument(
        "--memory", type=int, default=MEMORY_REDEMPTIONS, help="redemptions of the memory test"
    )
    parser.add_argument(
        "--tickets", type=int, default=5_000, help="tickets of the departure that is cancelled"
    )
    parser.add_argument("--only", choices=PARTS, help="measure this part alone")
    parser.add_argument(
        "--docs", action="store_true", help="write the table into docs/benchmarks.md"
    )
    options = parser.parse_args()
    figures, noise = Figures(), Noise()
    with tempfile.TemporaryDirectory() as folder:
        services = EmbeddedServices.start(Path(folder))
        try:
            options.postgres = postmaster(Path(folder))
            for name in [options.only] if options.only else PARTS:
                PARTS[name](services, figures, options)
            said = noise.line(figures)
        finally:
            services.stop()
    result = report(figures, said, options)
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
