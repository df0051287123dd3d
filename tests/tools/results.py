# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read what a step's run says: how much passed, how much failed, what was skipped and why."""

from __future__ import annotations

import ast
import re
from collections import Counter
from functools import reduce
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import ansible_testing
import tree

JUNIT = tree.COPY / "tests" / "output" / "junit"


class Result(NamedTuple):
    """One step's outcome. A step that failed has at least one failure. note: what is worth a line of its own."""

    passed: int
    failed: int
    skips: tuple[str, ...] = ()
    problem: str = ""
    note: str = ""


def of_check(status: int, _output: str) -> Result:
    """A linter: one check."""
    return Result(0, 1) if status else Result(1, 0)


def of_sanity(status: int, output: str) -> Result:
    """ansible-test sanity: one check for each of its tests."""
    ran = len(set(re.findall(r'^Running sanity test "([\w-]+)"', output, re.MULTILINE)))
    failure = re.search(r"The (\d+) sanity test\(s\) listed below \(out of \d+\) failed", output)
    failed = int(failure.group(1)) if failure else int(status != 0)
    absent = sorted(set(re.findall(r'^WARNING: Required program "(\w+)" not found', output, re.MULTILINE)))
    skips = tuple(f"sanity tests that need {program}: not installed" for program in absent)
    if not ran:
        return Result(0, max(failed, 1), skips, "no sanity test ran")
    return Result(ran - failed, failed, skips)


def done_so_far(output: str) -> int:
    """How many tests a run has behind it, while it runs: pytest's dots, ansible-test's lines."""
    dots = re.findall(r"^([.FEsxX]+)(?: +\[ *\d+%\])?$", output, re.MULTILINE)
    return sum(map(len, dots)) + len(re.findall(r"^Running sanity test", output, re.MULTILINE))


class Report(NamedTuple):
    """What a JUnit file tells. reasons: of the skipped. tests: (file as a module, function) of all that were tried."""

    passed: int
    failed: int
    reasons: Counter[str]
    tests: frozenset[tuple[str, str]]

    def and_also(self, other: Report) -> Report:
        """Both together."""
        passed, failed = self.passed + other.passed, self.failed + other.failed
        return Report(passed, failed, self.reasons + other.reasons, self.tests | other.tests)


NOTHING = Report(0, 0, Counter(), frozenset())


def read_junit(path: Path) -> Report:
    """Read one file."""
    passed = failed = 0
    reasons: Counter[str] = Counter()
    tests = set()
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        tests.add((case.get("classname", ""), case.get("name", "").partition("[")[0]))
        skipped = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            failed += 1
        elif skipped is not None:
            reasons[skipped.get("message", "no reason")] += 1
        else:
            passed += 1
    return Report(passed, failed, reasons, frozenset(tests))


def written_tests(checkout: Path, folder: str) -> frozenset[tuple[str, str]]:
    """The test functions that stand in the files of a folder, without the long ones; told as in `Report.tests`."""
    found = set()
    for path in sorted((checkout / folder).rglob("test_*.py")):
        module = ".".join(path.relative_to(checkout).with_suffix("").parts)
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if not isinstance(node, ast.FunctionDef) or not node.name.startswith("test_"):
                continue
            if "pytest.mark.long" not in map(ast.unparse, node.decorator_list):
                found.add((module, node.name))
    return frozenset(found)


def _named(reasons: Counter[str], where: str) -> tuple[str, ...]:
    return tuple(f"{count} {where}: {reason}" for reason, count in sorted(reasons.items()))


def of_pytest(name: str) -> Result:
    """A run of pytest that wrote JUNIT/<name>.xml."""
    path = JUNIT / f"{name}.xml"
    if not path.exists():
        return Result(0, 1, (), "pytest wrote no report")
    report = read_junit(path)
    if not report.tests:
        return Result(0, 1, (), "no test ran")
    return Result(report.passed, report.failed, _named(report.reasons, f"tests of {name}"))


def of_units(status: int, _output: str) -> Result:
    """Unit tests on each interpreter that this machine has."""
    reports = {
        version: reduce(Report.and_also, map(read_junit, sorted(JUNIT.glob(f"python{version}-*-units.xml"))), NOTHING)
        for version in ansible_testing.PYTHONS
        if (tree.ROOT / ".cache" / "python" / f"python{version}").exists()
    }
    passed = sum(report.passed for report in reports.values())
    failed = sum(report.failed for report in reports.values())
    skips = [
        f"unit tests on Python {version}: not on this machine" for version in ansible_testing.missing_interpreters()
    ]
    for version, report in reports.items():
        skips += _named(report.reasons, f"unit tests on Python {version}")
    problem = "" if failed else what_is_missing(reports, written_tests(tree.COPY, "tests/unit/plugins"))
    note = ", ".join(f"{version}: {report.passed}" for version, report in reports.items())
    return Result(passed, max(failed, int(status != 0 or bool(problem))), tuple(skips), problem, note)


# These get the first case of each test only: see tests/conftest.py.
PARTLY = ("3.10", "3.11", "3.12")


def what_is_missing(reports: dict[str, Report], written: frozenset[tuple[str, str]]) -> str:
    """Why these reports do not prove that every test that is written ran on each Python; empty when they do."""
    if not reports or not written:
        return "no Python, or no test"
    for version, report in reports.items():
        for module, function in sorted(written - report.tests):
            return f"{module}::{function} did not run on Python {version}"
    for partly in (False, True):
        counts = {version: one.passed for version, one in reports.items() if (version in PARTLY) == partly}
        if len(set(counts.values())) > 1:
            return f"not the same number passed on each Python: {counts}"
        fewest = min(counts.values(), default=len(written))
        if fewest < len(written) - sum(reports[version].reasons.total() for version in list(counts)[:1]):
            return f"fewer passed than there are tests: {counts}"
    return ""
