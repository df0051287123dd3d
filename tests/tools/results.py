# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read what a step's run says: how much passed, how much failed, what was skipped and why."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import ansible_testing
import tree

JUNIT = tree.COPY / "tests" / "output" / "junit"


class Result(NamedTuple):
    """One step's outcome. A step that failed has at least one failure."""

    passed: int
    failed: int
    skips: tuple[str, ...] = ()
    problem: str = ""


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


def read_junit(path: Path) -> tuple[int, int, Counter[str]]:
    """Passed, failed, and the reasons of the skipped."""
    passed = failed = 0
    reasons: Counter[str] = Counter()
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        skipped = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            failed += 1
        elif skipped is not None:
            reasons[skipped.get("message", "no reason")] += 1
        else:
            passed += 1
    return passed, failed, reasons


def _named(reasons: Counter[str], where: str) -> tuple[str, ...]:
    return tuple(f"{count} {where}: {reason}" for reason, count in sorted(reasons.items()))


def of_pytest(name: str) -> Result:
    """A run of pytest that wrote JUNIT/<name>.xml."""
    path = JUNIT / f"{name}.xml"
    if not path.exists():
        return Result(0, 1, (), "pytest wrote no report")
    passed, failed, reasons = read_junit(path)
    skips = _named(reasons, f"tests of {name}")
    if not passed + failed + sum(reasons.values()):
        return Result(0, 1, (), "no test ran")
    return Result(passed, failed, skips)


def of_units(status: int, _output: str) -> Result:
    """Unit tests on each interpreter: all that exist must have run, and the same number on each."""
    by_python = {
        version: [read_junit(path) for path in sorted(JUNIT.glob(f"python{version}-*-units.xml"))]
        for version in ansible_testing.PYTHONS
        if (tree.ROOT / ".cache" / "python" / f"python{version}").exists()
    }
    totals = {version: _add(reports) for version, reports in by_python.items()}
    passed = sum(total[0] for total in totals.values())
    failed = sum(total[1] for total in totals.values())
    skips = [
        f"unit tests on Python {version}: not on this machine" for version in ansible_testing.missing_interpreters()
    ]
    for version, total in totals.items():
        skips += _named(total[2], f"unit tests on Python {version}")
    counts = {version: total[0] for version, total in totals.items()}
    listing = ", ".join(f"{version}: {count}" for version, count in counts.items())
    wrong = not counts or min(counts.values()) == 0 or len(set(counts.values())) > 1
    problem = f"not the same number passed on each Python, or none: {listing}" if wrong and not failed else ""
    return Result(passed, max(failed, int(status != 0 or bool(problem))), tuple(skips), problem)


def _add(reports: Iterable[tuple[int, int, Counter[str]]]) -> tuple[int, int, Counter[str]]:
    passed, failed, reasons = 0, 0, Counter[str]()
    for report in reports:
        passed, failed, reasons = passed + report[0], failed + report[1], reasons + report[2]
    return passed, failed, reasons
