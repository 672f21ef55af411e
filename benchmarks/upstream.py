"""The tests of a package that ours stands in for, run against ours: what became of each, and why some cannot apply."""

import os
import sys
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Upstream:
    """A package's tests; why some cannot apply, by a part of their names: of these the first that matches counts."""

    package: str
    files: tuple[str, ...]
    cannot_apply: Mapping[str, str]

    def why_not(self, test: str) -> str | None:
        """Return why a test cannot apply to ours; None where it must pass."""
        return next((why for part, why in self.cannot_apply.items() if part in test), None)

    def run(self, checkout: Path, count: "Count", *options: str) -> None:
        """Run the files of a checkout, whose modules the caller has adapted."""
        given = ["-c", os.devnull, "--rootdir", str(checkout), "-p", "no:cacheprovider", "-p", "no:django", "-q"]
        given += ["-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function", *options]
        pytest.main([*given, *(str(checkout / name) for name in self.files)], plugins=[count])

    def report(self, count: "Count", **columns: Collection[str]) -> bool:
        """Print the tables, with how many of those that passed are in each more column; tell whether none is broken."""
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
            tests = {test for test in count.outcomes if test.startswith(name)}
            passed = {test for test in tests if count.outcomes[test] == "passed"}
            unable = {test for test in tests - passed if self.why_not(test)}
            among = [len(passed.intersection(column)) for column in columns.values()]
            print(_row([name, len(tests), len(passed), *among, len(unable), len(tests - passed - unable)]))
        failed = [test for test, outcome in count.outcomes.items() if outcome != "passed"]
        for why in dict.fromkeys(self.cannot_apply.values()):
            tests_so = [test.partition("::")[2] for test in failed if self.why_not(test) == why]
            print(f"\nCannot apply: {len(tests_so)}, since each {why}")
            print("\n".join(f"- {test}" for test in tests_so))
        broken = [test for test in failed if not self.why_not(test)]
        for test in broken:
            print(f"FAILS: {test}")
        return bool(count.outcomes) and not broken


class Count:
    """A pytest plugin: keeps what became of each test."""

    def __init__(self) -> None:
        self.outcomes: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the outcome; a failure before or after the test is one too."""
        if report.when == "call" or report.failed:
            self.outcomes[report.nodeid] = report.outcome


def importable(*folders: Path) -> None:
    """Let what a checkout's tests import by name be found first."""
    sys.path[:0] = [str(folder) for folder in folders]


def _row(cells: Iterable[object]) -> str:
    return f"| {' | '.join(map(str, cells))} |"
