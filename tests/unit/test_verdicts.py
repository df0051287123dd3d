# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""docs/verdicts.md: its tables of a whole host are what the code does, line by line."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_object import KINDS
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_verdicts import (
    Clock,
    breaker,
    doubts_of_age,
    together,
    verdict_of,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.verdict import Evidence, Verdict, judge

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "verdicts.md"
YES_OR_NO = ("yes", "no")
TIES = ("leftovers or nothing", "an unknown one", "a live one")
CLOCK = Clock(now=100_000.0, boot=1000.0, min_age=600.0)
Row = tuple[str, ...]
_ANY = "\u2013"  # a dash


def table(first: str, second: str) -> list[Row]:
    """The rows of the table with these first two headings; each has that many cells."""
    tables = re.findall(r"(?:^\|.*\n)+", DOCUMENT.read_text(encoding="utf-8"), re.M)
    rows = [[tuple(cell.strip() for cell in line.strip("|").split("|")) for line in one.split("\n")] for one in tables]
    found = next(one for one in rows if one[0][:2] == (first, second))
    assert {len(row) for row in found[:-1]} == {len(found[0])}
    return found[2:-1]


VERDICTS = table("rule", "a process owns it")
RUNS = table("rule", "an engine or kubelet runs")


def fits(cells: Row, case: Row) -> bool:
    return all(cell in (_ANY, value) for cell, value in zip(cells, case))


def verdict_in(case: Row) -> str:
    """What the code says. case: as the columns of the table."""
    owned, doubtful, seen, old, tied = case
    evidence = Evidence(
        ("qemu (pid 7) runs it",) if owned == "yes" else (),
        ("a bundle of it exists",) if doubtful == "yes" else (),
        blind="" if seen == "yes" else "hidepid=2",
    )
    own = verdict_of(evidence, doubts_of_age(CLOCK.now - (601 if old == "yes" else 599), False, CLOCK))
    other = {TIES[0]: Evidence(), TIES[1]: Evidence(unknown=("x cannot be read",)), TIES[2]: Evidence(("shim",))}[tied]
    verdicts: list[Verdict] = [own, judge(other), judge(Evidence())]
    return together(verdicts, [{"web-1"}, {"web-1"}, {"web-2"}], ["sandbox web-1", "bundle web-1", "x"])[0].kind


@pytest.mark.parametrize("case", list(itertools.product(*[YES_OR_NO] * 4, TIES)), ids=" ".join)
def test_the_first_line_that_fits_is_the_verdict(case: Row) -> None:
    row = next(row for row in VERDICTS if fits(row[1:-1], case))
    assert row[-1] == f"**{verdict_in(case)}**", row[0]


@pytest.mark.parametrize("number", range(len(VERDICTS)))
def test_every_line_of_the_verdicts_decides_something(number: int) -> None:
    cases = itertools.product(*[YES_OR_NO] * 4, TIES)
    deciding = {next(at for at, row in enumerate(VERDICTS) if fits(row[1:-1], case)) for case in cases}
    assert number in deciding


@pytest.mark.parametrize("case", list(itertools.product(YES_OR_NO, repeat=3)), ids=" ".join)
def test_A3_the_breaker(case: Row) -> None:
    engine, alive, leftovers = case
    verdicts = ["unknown", *(["live"] if alive == "yes" else []), *(["leftover"] if leftovers == "yes" else [])]
    refused = bool(breaker(verdicts, ["containerd (pid 7)"] if engine == "yes" else []))
    rows = {row[-1] for row in RUNS if fits(row[1:-1], case)}
    assert rows == {"**refused**" if refused else "goes on"}


def test_the_kinds_and_their_order() -> None:
    assert tuple(row[0] for row in table("kind", "what it is")) == KINDS
