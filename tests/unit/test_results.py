# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What `make test` reads from its runs: a test that was lost, on one Python or on all, is a failure."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS / "tools"))
import results  # noqa: E402  # the tools are no package

JUNIT = """<testsuites><testsuite>
<testcase classname="tests.unit.test_a" name="test_one[x]"/>
<testcase classname="tests.unit.test_a" name="test_one[y]"><skipped message="why"/></testcase>
<testcase classname="tests.unit.test_b" name="test_two"><failure/></testcase>
</testsuite></testsuites>"""
ONE, TWO = ("tests.unit.test_a", "test_one"), ("tests.unit.test_b", "test_two")


def report(passed: int, *tests: tuple[str, str]) -> results.Report:
    return results.Report(passed, 0, Counter(), frozenset(tests))


def test_a_report_tells_counts_reasons_and_names(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(JUNIT, encoding="utf-8")
    assert results.read_junit(tmp_path / "a.xml") == results.Report(1, 1, Counter({"why": 1}), frozenset({ONE, TWO}))


@pytest.mark.parametrize(
    ("reports", "told"),
    [
        ({"3.9": report(5, ONE, TWO), "3.11": report(2, ONE, TWO), "3.13": report(5, ONE, TWO)}, ""),
        ({"3.10": report(2, ONE, TWO), "3.11": report(3, ONE, TWO)}, "not the same number"),
        ({"3.9": report(1, ONE, TWO), "3.13": report(1, ONE, TWO)}, "fewer passed than there are tests"),
        ({"3.9": report(2, ONE), "3.13": report(2, ONE)}, "tests.unit.test_b::test_two did not run on Python 3.9"),
        ({"3.9": report(2, ONE, TWO), "3.13": results.NOTHING}, "test_one did not run on Python 3.13"),
        ({"3.9": report(2, ONE, TWO), "3.13": report(3, ONE, TWO)}, "not the same number"),
        ({}, "no Python"),
    ],
    ids=["all", "a lost case between", "too few", "a lost file", "a lost Python", "a lost case", "nothing"],
)
def test_what_was_lost_is_told(reports: dict[str, results.Report], told: str) -> None:
    missing = results.what_is_missing(reports, frozenset({ONE, TWO}))
    assert told in missing and bool(told) == bool(missing)


def test_every_unit_test_is_expected_but_the_long_ones() -> None:
    written = results.written_tests(TESTS.parent, "tests/unit/plugins")
    basis = "tests.unit.plugins.module_utils._basis"
    assert (f"{basis}.test_trees", "test_R6_links_are_unlinked_and_never_followed") in written
    assert {module for module, _name in written} == {
        ".".join(path.relative_to(TESTS.parent).with_suffix("").parts)
        for path in (TESTS / "unit" / "plugins").rglob("test_*.py")
    }


@pytest.mark.parametrize(
    ("output", "done"),
    [
        ("", 0),
        ("bringing up nodes...\n\n..s.F [  6%]\n...", 8),
        ('Running sanity test "a"\nRunning sanity test "b"\n', 2),
        ("1 passed in 0.5s\n", 0),
    ],
)
def test_a_run_shows_how_far_it_is(output: str, done: int) -> None:
    assert results.done_so_far(output) == done
