"""
The pytest plugin: what the tests of a run measured.

It comes with tokenclock. A test asks for the fixture ``token_metrics``; ``--token-metrics=FILE``
writes all results of a run as records, each with its test under the label ``test``, which wins
over a label of that name. A result that ends between tests has none.
"""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tokenclock import _sinks
from tokenclock._records.lines import line_of, read_line
from tokenclock._texts import printable
from tokenclock.errors import (
    EmptyInputError,
    InvalidRecordError,
    NoRecordFileError,
    TokenclockWarning,
)
from tokenclock.records import JsonLinesSink, read_records
from tokenclock.summary import ResultLog, Summary, summarize

if TYPE_CHECKING:
    from tokenclock._metrics import Group, Nested
    from tokenclock._result import MetricsResult
    from tokenclock.summary import ServiceLevel

__all__ = ["TokenMetrics"]

PLUGIN = "tokenclock-run"
LABEL = "test"
# With these pytest only shows something: no test runs, and no file is begun anew.
_SHOWING = ("collectonly", "setupplan", "cacheshow", "showfixtures", "show_fixtures_per_test")


class TokenMetrics:
    """
    What the fixture ``token_metrics`` gives: the results of the test, as calls finish.

    Every measured call counts that ends between the fixture's set-up and its tear-down, whichever
    thread or task made it; a fixture that makes calls is to ask for ``token_metrics`` itself.
    Results of streams that were dropped are waited for; the newest 100,000 are kept.

    .. versionadded:: 0.1.0
    """

    def __init__(self) -> None:
        self._log = ResultLog()

    def __call__(self, result: MetricsResult[Any]) -> None:
        """Keep one result; tokenclock calls this."""
        self._log(result)

    @property
    def results(self) -> list[MetricsResult[Any]]:
        """The results so far, in the order in which calls ended; a copy."""
        _sinks.later.flush()
        return self._log.results

    @property
    def last(self) -> MetricsResult[Any] | None:
        """The latest result; ``None`` before the first."""
        results = self.results
        return results[-1] if results else None

    def summary(
        self,
        *,
        slo: ServiceLevel | None = None,
        by: Group | None = None,
        nested: Nested = "innermost",
        failed_as_inf: bool = False,
    ) -> Summary:
        """
        Summarise the results so far; the options are those of ``tokenclock.summary.summarize``.

        Without a result it is a summary of no calls.
        """
        _sinks.later.flush()
        return self._log.summary(slo=slo, by=by, nested=nested, failed_as_inf=failed_as_inf)

    def __iter__(self) -> Iterator[MetricsResult[Any]]:
        return iter(self.results)

    def __len__(self) -> int:
        return len(self.results)


def metrics_of_a_test(config: pytest.Config) -> Iterator[TokenMetrics]:
    """Be the fixture: collect while the test runs, then leave the results to the run."""
    metrics = TokenMetrics()
    _sinks.add_sink(metrics)
    yield metrics
    results = metrics.results
    _sinks.remove_sink(metrics)
    run_metrics(config).add(results)


def run_metrics(config: pytest.Config) -> RunMetrics:
    """Give the one of this run, which begins with the first use."""
    run = config.pluginmanager.get_plugin(PLUGIN)
    if run is None:
        run = RunMetrics(config)
        config.pluginmanager.register(run, PLUGIN)
    return run


class RunMetrics:
    """
    What a whole run measured: in the file if one is asked for, else what its fixtures saw.

    Under pytest-xdist the workers append to the file that the controller began, or send it what
    their fixtures saw; the controller shows one summary of all.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._seen = ResultLog()
        self._file: RunFile | None = None
        if name := config.getoption("token_metrics"):
            # Absolute also for the workers, which get these options.
            config.option.token_metrics = str(config.invocation_params.dir / name)

    def add(self, results: Iterable[MetricsResult[Any]]) -> None:
        """Count what a fixture saw; a file has it already."""
        if self._file is None:
            for result in results:
                self._seen(result)

    def add_lines(self, lines: Iterable[bytes]) -> None:
        """Count what the fixtures of a worker saw."""
        reads = [read for line in lines for read in read_line(line)]
        self.add(read.result for read in reads if read.result is not None)

    @pytest.hookimpl(tryfirst=True)  # before pytest-xdist starts its workers
    def pytest_sessionstart(self) -> None:
        """Open the file: what cannot be written is said before any test runs."""
        option = self._config.option
        if any(getattr(option, name, False) for name in _SHOWING):
            return
        if not _is_worker(self._config):
            _begin_anew(option.token_metrics)
        self._file = RunFile(option.token_metrics)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Remember which test runs, from its set-up to its end."""
        if self._file is None:
            return (yield)
        self._file.test = item.nodeid
        try:
            return (yield)
        finally:
            _sinks.later.flush()  # streams that it dropped
            self._file.test = None

    def pytest_sessionfinish(self) -> None:
        """Close the file; send the controller what stands in none."""
        if self._file is not None:
            self._file.close()
        elif _is_worker(self._config):
            lines = [line_of(result, timeline=False) for result in self._seen.results]
            config: Any = self._config
            config.workeroutput["tokenclock"] = lines

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show the summary, if anything was measured."""
        text = self._file.text() if self._file else _text_of(self._seen)
        if text:
            terminalreporter.section("token metrics")
            terminalreporter.write_line(text)

    def pytest_unconfigure(self) -> None:
        """Close the file also where the session did not begin."""
        if self._file is not None:
            self._file.close()


class RunFile:
    """
    The file that every result of a run goes to, with its test as a label.

    Attributes:
        test: The test that runs; ``None`` between tests, whose results get no label.
    """

    def __init__(self, path: str) -> None:
        self.test: str | None = None
        try:
            self._sink = JsonLinesSink(path)
        except OSError as error:
            raise _cannot_write(path, f"{error.strerror}") from None
        _sinks.add_sink(self)

    def __call__(self, result: MetricsResult[Any]) -> None:
        """Write one result."""
        if self.test is not None:
            labels = {**result.attributes, LABEL: self.test}
            result = dataclasses.replace(result, attributes=labels)
        self._sink(result)

    def close(self) -> None:
        """Stop writing, once what is on its way has arrived."""
        _sinks.later.flush()
        _sinks.remove_sink(self)
        self._sink.close()

    def text(self) -> str:
        """Give what the terminal shows; nothing for no results."""
        try:
            summary = summarize(read_records(self._sink.path))
        except EmptyInputError:
            return ""
        except (OSError, InvalidRecordError) as error:
            return printable(f"Cannot summarise what was written: {error}")
        count = summary.call_count + summary.outer_calls_left_out
        results = "1 result" if count == 1 else f"{count:,} results"
        return f"{summary}\n\n{results} written to {printable(str(self._sink.path))}"


def _text_of(log: ResultLog) -> str:
    return str(log.summary()) if len(log) else ""


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


def _begin_anew(path: str) -> None:
    """Empty the file of an earlier run; whatever else is there was a slip, and stays."""
    if not Path(path).exists():
        return
    if not Path(path).is_file():  # the summary could not read a pipe back
        raise _cannot_write(path, "it is there, and no ordinary file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TokenclockWarning)
            reader = read_records(path)
            next(reader, None)
            reader.close()
        os.truncate(path, 0)
    except NoRecordFileError:
        raise _cannot_write(path, "it is there, and no file of records") from None
    except OSError as error:
        raise _cannot_write(path, f"{error.strerror}") from None


def _cannot_write(path: str, why: str) -> pytest.UsageError:
    return pytest.UsageError(
        f"Cannot write token metrics to '{path}': {why}. Pass --token-metrics=FILE with a new "
        "file, or one of an earlier run, in a folder that can be written."
    )
