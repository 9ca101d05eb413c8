"""The example of a dashboard: every query of it has an answer in a real Prometheus."""

from __future__ import annotations

import importlib
import json
import math
import re
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import backends
from driving import check_says_what_to_install
from tokenclock import TokenclockWarning
from tokenclock.demo import NAME, ScriptedModel

pytestmark = pytest.mark.extras

FOLDER = Path(__file__).parents[1] / "examples" / "observability"
PATIENCE = 120.0  # seconds; only a failing test waits as long
CALLS = 12
CALLS_TOTAL = "tokenclock_calls_total"
QUANTILES = ("Time to first token", "Time per output token", "Generation latency")


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the example's files importable, under names that others may have, too."""
    monkeypatch.syspath_prepend(FOLDER)
    for name in ("service", "start"):
        monkeypatch.delitem(sys.modules, name, raising=False)


@pytest.fixture
def dashboard() -> dict[str, Any]:
    content: dict[str, Any] = json.loads((FOLDER / "dashboard.json").read_text(encoding="utf-8"))
    return content


class Seen(NamedTuple):
    """
    What a run of the example left.

    Attributes:
        printed: The lines of the start script.
        answers: By panel; for each of its queries the values by legend.
        choices: The values of the labels that the dashboard offers to choose from.
        exposed: What the service exposes, in the format of OpenMetrics, which has exemplars.
        spans: What an OTLP receiver was sent.
        metrics: The last export of each metric there.
    """

    printed: list[str]
    answers: dict[str, list[dict[str, float]]]
    choices: dict[str, list[str]]
    exposed: str
    spans: list[Any]
    metrics: dict[str, Any]


class Watched:
    """The start script, at whose end more is looked at than it prints."""

    def __init__(self, start: Any) -> None:
        self.start = start
        self.url = ""
        self.answers: dict[str, list[dict[str, float]]] = {}
        self.choices: dict[str, list[str]] = {}
        self.exposed = ""
        self.ask, self.show = start.ask, start.show

    def ask_there(self, url: str, **options: Any) -> None:
        self.url = url
        self.ask(url, **options)

    def show_more(self, database: Any) -> None:
        self.show(database)
        for query in self.start.queries():
            self.answers.setdefault(query.panel, []).append(database.answer(query))
        for name in ("function", "model"):
            values = database.get(f"/api/v1/label/{name}/values", **{"match[]": CALLS_TOTAL})
            self.choices[name] = values.json()["data"]
        self.exposed = read(f"{self.url}/metrics")


def read(url: str) -> str:
    import httpx  # noqa: PLC0415 - an extra

    accept = {"accept": "application/openmetrics-text; version=1.0.0"}
    return httpx.get(url, headers=accept).text


@pytest.fixture(scope="module")
def seen() -> Iterator[Seen]:
    """Run the start script, the service of which exports to an OTLP receiver, too."""
    from backends.tap import tapped  # noqa: PLC0415 - needs extras

    with pytest.MonkeyPatch.context() as patch, tapped() as tap:
        patch.syspath_prepend(FOLDER)
        patch.delitem(sys.modules, "start", raising=False)
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", tap.url)
        patch.setattr(sys, "argv", ["start.py", str(backends.program("prometheus"))])
        start: Any = importlib.import_module("start")
        watched = Watched(start)
        patch.setattr(start, "ask", watched.ask_there)
        patch.setattr(start, "show", watched.show_more)
        with redirect_stdout(StringIO()) as printed:
            start.main()
        tap.wait_for(lambda tap: len(tap.spans) >= CALLS and bool(tap.metrics))
        yield Seen(
            printed.getvalue().splitlines(),
            watched.answers,
            watched.choices,
            watched.exposed,
            tap.spans,
            tap.latest(),
        )


def metrics_in(dashboard: dict[str, Any]) -> set[str]:
    text = json.dumps(dashboard["panels"]) + json.dumps(dashboard["templating"])
    return set(re.findall(r"tokenclock_\w+", text))


def test_every_panel_says_what_it_shows(dashboard: dict[str, Any]) -> None:
    """A panel has an id of its own, a title, a unit, a description and a query at least."""
    panels = dashboard["panels"]
    assert sorted(panel["id"] for panel in panels) == list(range(1, len(panels) + 1))
    assert len({panel["title"] for panel in panels}) == len(panels)
    for panel in panels:
        assert panel["description"].endswith(".")
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["targets"]


def test_every_panel_asks_the_chosen_data_source_for_the_chosen_calls(
    dashboard: dict[str, Any],
) -> None:
    """Variables choose the data source, functions, models, and whose own doing the times are."""
    assert [one["name"] for one in dashboard["templating"]["list"]] == [
        "datasource", "function", "model", "consumer_limited",
    ]  # fmt: skip
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            assert target["datasource"]["uid"] == "${datasource}"
            selections = target["expr"].count('function=~"$function", model=~"$model"')
            assert selections == target["expr"].count("tokenclock_")


def test_panels_do_not_overlap(dashboard: dict[str, Any]) -> None:
    """Each has its own place on the grid, which is 24 wide."""
    taken = [
        (x, y)
        for place in (panel["gridPos"] for panel in dashboard["panels"])
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(taken)) == len(taken)
    assert max(x for x, _ in taken) == 23


@pytest.mark.model
@pytest.mark.backends("prometheus")
def test_every_query_of_the_dashboard_has_an_answer(seen: Seen, dashboard: dict[str, Any]) -> None:
    """Each gives a number at least, and no number is negative, infinite or undefined."""
    assert list(seen.answers) == [panel["title"] for panel in dashboard["panels"]]
    for panel, answers in seen.answers.items():
        for answer in answers:
            assert answer, panel
            assert all(math.isfinite(value) and value >= 0 for value in answer.values()), panel


@pytest.mark.model
@pytest.mark.backends("prometheus")
def test_what_is_known_beforehand_is_what_the_dashboard_shows(seen: Seen) -> None:
    """Counts are exact, quantiles are in order, and a share is one."""
    answers = seen.answers
    assert answers["Calls since the service started"] == [{"completed": CALLS}]
    [tokens] = answers["Tokens since the service started"]
    assert tokens["output"] == 24 * CALLS
    assert tokens["input"] > 0
    assert answers["Calls in flight"] == [{"in flight": 0}]
    assert answers["Calls"][0]["completed"] > 0
    assert answers["Tokens"][0]["output"] > 0
    assert 0 <= answers["Calls limited by their consumer"][0]["share"] <= 1
    for panel in QUANTILES:
        names = [name for answer in answers[panel] for name in answer]
        times = [value for answer in answers[panel] for value in answer.values()]
        assert names == ["p50", "p95", "p99"]
        assert 0 < times[0] <= times[1] <= times[2] < PATIENCE
    [gaps] = answers["Gaps between chunks"]
    buckets = [gaps[bound] for bound in sorted(gaps, key=float)]
    assert buckets == sorted(buckets)
    assert gaps["+Inf"] > 0


@pytest.mark.model
@pytest.mark.backends("prometheus")
def test_the_dashboard_names_what_the_service_exposes(
    seen: Seen, dashboard: dict[str, Any]
) -> None:
    """Every metric is there, and there is something to choose from in every variable."""
    exposed = set(re.findall(r"^(tokenclock_\w+)\{", seen.exposed, re.MULTILINE))
    assert metrics_in(dashboard) <= exposed
    assert seen.choices == {"function": ["answer"], "model": [NAME]}
    assert re.search(r'^tokenclock_calls_total\{.*tenant="t0".*\} 6', seen.exposed, re.MULTILINE)


@pytest.mark.model
@pytest.mark.backends("prometheus")
def test_the_same_calls_arrive_by_otlp(seen: Seen) -> None:
    """A receiver has one span a call and as many durations, and exemplars name its traces."""
    calls = [span for span in seen.spans if span.name == f"chat {NAME}"]
    assert len(calls) == CALLS
    points = seen.metrics["gen_ai.client.operation.duration"].histogram.data_points
    assert sum(point.count for point in points) == CALLS
    assert sum(
        point.sum
        for point in seen.metrics["gen_ai.client.token.usage"].histogram.data_points
        if any(one.value.string_value == "output" for one in point.attributes)
    ) == 24 * CALLS  # fmt: skip
    named = set(re.findall(r'trace_id="(\w+)"', seen.exposed))
    assert named
    assert named <= {span.trace_id.hex() for span in calls}


@pytest.mark.model
@pytest.mark.backends("prometheus")
def test_the_start_script_prints_what_its_docstring_says(seen: Seen) -> None:
    """It prints a line for each query, with other numbers."""
    source = (FOLDER / "start.py").read_text(encoding="utf-8")
    lines = [line[4:] for line in source.split('"""')[1].splitlines() if line.startswith("    ")]
    command, *promised = lines
    assert command.startswith("python start.py")
    assert without_numbers(seen.printed) == without_numbers(promised)


def without_numbers(lines: list[str]) -> list[str]:
    return [re.sub(r"(?<!p)\b\d\S*?(?=,?( |$))", "0", line) for line in lines]


def test_tenants_beyond_the_cap_are_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """A label whose values come from outside cannot grow without end."""
    from fastapi.testclient import TestClient  # noqa: PLC0415 - an extra
    from prometheus_client import CollectorRegistry  # noqa: PLC0415 - as above

    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    service: Any = importlib.import_module("service")
    service.PROMETHEUS.unregister()
    registry = CollectorRegistry()
    few = service.PrometheusMetrics(registry, labels=["tenant"], max_label_values=2)
    monkeypatch.setattr(service, "PROMETHEUS", few)
    app = service.make_app(ScriptedModel(first_wait=0.0, wait=0.0))
    with TestClient(app) as client:

        def ask(tenant: str) -> None:
            response = client.get("/answer", params={"question": "?", "tenant": tenant})
            assert response.text.startswith('data: "This"')

        ask("a")
        ask("b")
        with pytest.warns(TokenclockWarning, match="The label 'tenant'"):
            ask("c")
        ask("d")
        ask("a")

    calls = {
        sample.labels["tenant"]: sample.value
        for metric in registry.collect()
        for sample in metric.samples
        if sample.name == "tokenclock_calls_total" and sample.value
    }
    assert calls == {"a": 2, "b": 1, "other": 2}


@pytest.mark.parametrize(
    ("name", "package", "line"),
    [
        (
            "service",
            "fastapi",
            (
                "a web framework, Prometheus' client and OpenTelemetry's SDK: pip install fastapi "
                "uvicorn prometheus-client opentelemetry-exporter-otlp-proto-http"
            ),
        ),
        ("start", "httpx", "an HTTP client: pip install httpx"),
    ],
)
def test_where_a_package_is_missing_the_example_says_how_to_install_it(
    name: str, package: str, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Instead of a traceback there is one line."""
    check_says_what_to_install(name, package, line, monkeypatch)


def test_without_a_prometheus_the_start_script_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is none in PATH, and none was given."""
    start: Any = importlib.import_module("start")
    monkeypatch.setattr(sys, "argv", ["start.py"])
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SystemExit) as ended:
        start.main()
    assert ended.value.code == (
        "Install Prometheus (https://prometheus.io/download), or give its path."
    )
