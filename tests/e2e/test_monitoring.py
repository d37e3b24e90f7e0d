"""Alert rules and the Grafana dashboard name what a server exports, and the runbook has every
alert. The expressions are parsed as Prometheus does; promtool tries the rules where it is
installed.
"""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator

import httpx2
import promql_parser
import pytest
from prometheus_client import Gauge, Metric
from prometheus_client.parser import text_string_to_metric_families

from server.platform import metrics
from tests.support.described import ROOT
from tests.support.server_process import ServerProcess

MONITORING = ROOT / "docs" / "monitoring"
ALERT = re.compile(r"- alert: (\w+)\n\s+expr: \|-\n((?: {10}.*\n)+)")
NAME = re.compile(r"\b((?:deeptravel|rpc_server)_[a-z_]+)")
SELECTED = re.compile(r"((?:deeptravel|rpc_server)_[a-z_]+)\{([^}]*)\}")
COUNTED = re.compile(r"(?:rate|increase)\((\w+)(?:\{([^}]*)\})?\[")
GROUPED = re.compile(r"by \(([^)]*)\) \(+(?:\w+\()*((?:deeptravel|rpc_server)_[a-z_]+)")
TARGETS = {"instance", "job"}
"""Labels that Prometheus gives every series by where it was scraped."""
ADDED = TARGETS | {"le"}
"""Those, and that of the buckets of histograms."""
SUFFIXES = ("_total", "_bucket", "_sum", "_count")


def alerts() -> dict[str, str]:
    return dict(ALERT.findall((MONITORING / "alerts.yml").read_text()))


def expressions() -> Iterator[tuple[str, str]]:
    """Each expression, with where it stands."""
    yield from alerts().items()
    dashboard = json.loads((MONITORING / "grafana-dashboard.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


def test_no_panel_shows_the_same_twice() -> None:
    """Nor has two series under one letter. Seen red with a queue that two changes had added."""
    dashboard = json.loads((MONITORING / "grafana-dashboard.json").read_text())
    for panel in dashboard["panels"]:
        for field in ("expr", "refId"):
            found = [target[field] for target in panel["targets"]]
            assert len(set(found)) == len(found), (panel["title"], field)


def own(name: str) -> Gauge | None:
    """The metric whose series has this name; the name of a gauge, counter or histogram."""
    plain = name
    for suffix in SUFFIXES:
        plain = plain.removesuffix(suffix)
    found = [each for each in vars(metrics).values() if getattr(each, "_name", None) == plain]
    return found[0] if found else None


@pytest.mark.parametrize(("place", "expression"), list(expressions()))
def test_prometheus_understands_the_expressions(place: str, expression: str) -> None:
    """Syntax and types, e.g. a rate of a range alone. Seen red with `rate(x)` and with a bracket
    too few.
    """
    try:
        promql_parser.parse(expression.replace("$__rate_interval", "5m"))
    except ValueError as error:
        pytest.fail(f"{place}: {error}")


def test_a_server_exports_what_rules_and_panels_name(served: ServerProcess) -> None:
    """Seen red with a name of a metric that was never there."""
    text = httpx2.get(f"{served.operations_url}/metrics").text
    families: list[Metric] = list(text_string_to_metric_families(text))
    exported = {each.name + suffix for each in families for suffix in ("", *SUFFIXES)}
    named = {name for _, expression in expressions() for name in NAME.findall(expression)}
    assert len(named) > 25
    assert named - exported == set()


@pytest.mark.parametrize(("alert", "expression"), list(alerts().items()))
def test_what_alerts_count_is_there_from_the_start(
    served: ServerProcess, alert: str, expression: str
) -> None:
    """Prometheus sees no increase of a counter that begins at 7: the first burst would be missed.
    Shares of two rates are no counts. Seen red with the series of notifications, jobs, locks and
    refused connections made when they first count.
    """
    text = httpx2.get(f"{served.operations_url}/metrics").text
    for name, labels in () if "/" in expression else COUNTED.findall(expression):
        wanted = [label for label in labels.split(", ") if label]
        series = [line for line in text.splitlines() if line.startswith(name + "{")]
        assert any(all(label in line for label in wanted) for line in series), (alert, name)


@pytest.mark.parametrize(("place", "expression"), list(expressions()))
def test_metrics_have_the_labels_that_are_asked_for(place: str, expression: str) -> None:
    """Seen red with a label that the metric does not have: such a rule never fires."""
    asked = [
        (name, {label.partition("=")[0].rstrip("!~ ") for label in labels.split(", ")})
        for name, labels in SELECTED.findall(expression)
    ]
    asked += [
        (name, {label.strip() for label in labels.split(",")})
        for labels, name in GROUPED.findall(expression)
    ]
    for name, labels in asked:
        metric = own(name)
        assert metric is not None, (place, name)
        assert labels - ADDED <= set(metric._labelnames), (place, name)


def test_no_metric_has_a_label_that_prometheus_gives() -> None:
    """It would keep ours under another name, and rules by it would have all as one. Seen red with
    `job`, by which the alerts of jobs never said which.
    """
    for metric in vars(metrics).values():
        assert not TARGETS & set(getattr(metric, "_labelnames", ())), metric


def test_every_queue_is_watched() -> None:
    """By the alert and by a panel. Seen red with the queue of refunds in neither."""
    queues = {each._name for each in vars(metrics).values() if isinstance(each, Gauge)}
    queues = {name for name in queues if name.endswith("_queue")}
    assert len(queues) > 6
    assert set(NAME.findall(alerts()["QueuesGrow"])) == queues
    panel = [expression for place, expression in expressions() if place.startswith("Waiting")]
    assert {name for expression in panel for name in NAME.findall(expression)} == queues


def test_every_alert_is_in_the_runbook_and_is_tried() -> None:
    runbook = (ROOT / "docs" / "runbook.md").read_text()
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", runbook, re.M | re.S))
    assert list(sections) == list(alerts())
    for name, section in sections.items():
        for part in ("**Look", "**Do**" if "**Look and do**" not in section else "", "**Tried**"):
            assert part in section, (name, part)
    tried = (MONITORING / "alerts_test.yml").read_text()
    for name in alerts():
        assert f"- name: {name} fires" in tried
        assert f"- name: {name} is quiet" in tried


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_tries_the_rules() -> None:
    for what in (["check", "rules", "alerts.yml"], ["test", "rules", "alerts_test.yml"]):
        done = subprocess.run(
            ["promtool", *what], cwd=MONITORING, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
