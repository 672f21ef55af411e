"""Run the tests of an upstream package against our replacement: the outcomes, and why some tests cannot apply."""

import os
import sys
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Upstream:
    """A package's tests, and why some cannot apply, by a part of their names; the first match counts."""

    package: str
    files: tuple[str, ...]
    cannot_apply: Mapping[str, str]

    def exclusion_reason(self, test: str) -> str | None:
        """Return why a test cannot apply to ours; None if it must pass."""
        return next((reason for part, reason in self.cannot_apply.items() if part in test), None)

    def run(self, checkout: Path, recorder: "OutcomeRecorder", *options: str) -> None:
        """Run the test files of a checkout; the caller has patched its modules."""
        arguments = ["-c", os.devnull, "--rootdir", str(checkout), "-p", "no:cacheprovider", "-p", "no:django", "-q"]
        arguments += ["-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function", *options]
        pytest.main([*arguments, *(str(checkout / name) for name in self.files)], plugins=[recorder])

    def report(self, recorder: "OutcomeRecorder", **columns: Collection[str]) -> bool:
        """Print the tables; each extra column counts the passed tests in its set. Return whether no test fails."""
        print(f"\n{self.package} {version(self.package)} is installed.\n")
        head = [
            "file",
            "tests",
            "pass",
            *(f"of these {name.replace('_', ' ')}" for name in columns),
            "cannot apply",
            "fail",
        ]
        print(_row(head) + "\n" + _row(["---"] * len(head)).replace(" ", ""))
        for name in self.files:
            tests = {test for test in recorder.outcomes if test.startswith(name)}
            passed = {test for test in tests if recorder.outcomes[test] == "passed"}
            excluded = {test for test in tests - passed if self.exclusion_reason(test)}
            extra = [len(passed.intersection(column)) for column in columns.values()]
            print(_row([name, len(tests), len(passed), *extra, len(excluded), len(tests - passed - excluded)]))
        failed = [test for test, outcome in recorder.outcomes.items() if outcome != "passed"]
        for reason in dict.fromkeys(self.cannot_apply.values()):
            excluded_tests = [test.partition("::")[2] for test in failed if self.exclusion_reason(test) == reason]
            print(f"\nCannot apply: {len(excluded_tests)}, since each {reason}")
            print("\n".join(f"- {test}" for test in excluded_tests))
        broken = [test for test in failed if not self.exclusion_reason(test)]
        for test in broken:
            print(f"FAILS: {test}")
        return bool(recorder.outcomes) and not broken


class OutcomeRecorder:
    """A pytest plugin that records the outcome of each test."""

    def __init__(self) -> None:
        self.outcomes: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Record the outcome; a failure in the setup or teardown counts too."""
        if report.when == "call" or report.failed:
            self.outcomes[report.nodeid] = report.outcome


def prepend_to_path(*folders: Path) -> None:
    """Put folders first on the import path, for the imports of a checkout's tests."""
    sys.path[:0] = [str(folder) for folder in folders]


def _row(cells: Iterable[object]) -> str:
    return f"| {' | '.join(map(str, cells))} |"
