# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._object import host_scan
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_reading import Found
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_verdicts import (
    Clock,
    breaker,
    doubts_of_age,
    together,
    verdict_of,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.verdict import (
    LEFTOVER,
    LIVE,
    UNKNOWN,
    Evidence,
    Verdict,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._object.support_host import (
    Thing,
    facts_of,
)

NOW = 1_000_000.0
CLOCK = Clock(now=NOW, boot=NOW - 86_400, min_age=600)
JUST_BOOTED = Clock(now=NOW, boot=NOW - 60, min_age=600)
DEAD = Evidence(dead=("recorded pid 7 is gone",))
ALIVE = Evidence(owners=("qemu (pid 7) runs it",))
DOUBT = "its engine may still know it: the bundle /b exists"

AGES = {
    "F1 an old one": (NOW - 601, False, CLOCK, ""),
    "F1 exactly old enough": (NOW - 600, False, CLOCK, ""),
    "F1 a young one": (NOW - 599, False, CLOCK, "it was changed 599 s ago, less than min_age=600"),
    "F1 changed right now": (NOW, False, CLOCK, "it was changed 0 s ago"),
    "F1 changed between the look and the clock": (NOW + 0.5, False, CLOCK, "it was changed"),
    "F1 from the future": (NOW + 2, False, CLOCK, "in the future"),
    "F1 ten years ahead": (NOW + 3e8, True, CLOCK, "in the future"),
    "F1 older than the boot, on a disk": (NOW - 90_000, False, CLOCK, ""),
    "F1 older than the boot, on memory": (NOW - 90_000, True, CLOCK, "older than this boot"),
    "F1 as old as the boot, on memory": (NOW - 86_400.5, True, CLOCK, ""),
    "F1 just booted": (NOW - 90_000, False, JUST_BOOTED, "this host booted 60 s ago, less than min_age=600"),
    "F1 just booted, without files": (None, False, JUST_BOOTED, "this host booted"),
    "F1 without files": (None, False, CLOCK, ""),
    "F1 of 1970": (0.0, False, CLOCK, ""),
    "F1 no age is asked for": (NOW, False, CLOCK._replace(min_age=0.0), ""),
    "F1 no age is asked for, and from the future": (NOW + 2, False, CLOCK._replace(min_age=0.0), "in the future"),
    "F1 no age is asked for right after the boot": (NOW - 5, True, JUST_BOOTED._replace(min_age=0.0), ""),
    "F1 the boot is in the future": (NOW - 900, False, CLOCK._replace(boot=NOW + 9), "this host booted"),
}


@pytest.mark.parametrize(("changed", "on_memory", "clock", "expected"), AGES.values(), ids=AGES)
def test_age(changed: float | None, on_memory: bool, clock: Clock, expected: str) -> None:
    doubts = doubts_of_age(changed, on_memory, clock)
    assert len(doubts) == (1 if expected else 0)
    assert all(expected in text for text in doubts)


class OfTwoTrees(Thing):
    """One on a disk and one on memory, as Kata's store of 1.x has them."""

    def _paths(self) -> list[str]:
        return ["/var/lib/vc/sbs/web-1", "/run/vc/sbs/web-1"]


@pytest.mark.parametrize("kind", [Thing, OfTwoTrees])
def test_F1_what_is_on_memory_in_part_cannot_be_older_than_the_boot(kind: type[Thing], tmp_path: Path) -> None:
    one = kind("sandbox", "web-1", facts=(facts_of(changed=NOW - 90_000),))
    view = HostView(str(tmp_path), True)
    judged = host_scan._alone(
        Found(one, DEAD), set(), lambda candidate: host_scan.doubts_of(candidate, view, str(tmp_path), CLOCK)
    )
    assert judged.kind == UNKNOWN and "older than this boot" in judged.reasons[0]


ALONE = {
    "A1 dead and old": (DEAD, (), (), LEFTOVER),
    "A1 an owner outweighs a doubt of age": (ALIVE, ("it was changed 5 s ago",), (), LIVE),
    "A1 what could not be read": (DEAD._replace(unknown=("x cannot be read",)), (), (), UNKNOWN),
    "A2 where processes are hidden": (DEAD._replace(blind="hidepid=2"), (), (), UNKNOWN),
    "A2 hidden processes are not cleared by what goes": (DEAD._replace(blind="hidepid=2"), (), (DOUBT,), UNKNOWN),
    "A4 an engine may still need it": (DEAD._replace(suspects=(DOUBT,)), (), (), UNKNOWN),
    "A4 its bundle goes before it": (DEAD._replace(suspects=(DOUBT,)), (), (DOUBT,), LEFTOVER),
    "A4 another bundle goes before it": (DEAD._replace(suspects=(DOUBT,)), (), (f"{DOUBT}.",), UNKNOWN),
    "A5 listed in a registry": (DEAD._replace(suspects=("containerd lists the container",)), (), (DOUBT,), UNKNOWN),
    "A7 somebody may own it besides": (DEAD._replace(suspects=("vi (pid 9) names it", DOUBT)), (), (DOUBT,), UNKNOWN),
    "A7 an owner besides its bundle": (ALIVE._replace(suspects=(DOUBT,)), (), (DOUBT,), LIVE),
    "C1 its lock is held": (DEAD._replace(suspects=("its lock is held by x (pid 9)",)), (), (), UNKNOWN),
    "F1 young": (DEAD, ("it was changed 5 s ago",), (), UNKNOWN),
    "F1 young, and its bundle goes": (DEAD._replace(suspects=(DOUBT,)), ("it was changed 5 s ago",), (DOUBT,), UNKNOWN),
}


@pytest.mark.parametrize(("evidence", "doubts", "going", "kind"), ALONE.values(), ids=ALONE)
def test_verdict_of_one(evidence: Evidence, doubts: tuple[str, ...], going: tuple[str, ...], kind: str) -> None:
    found = verdict_of(evidence, doubts, going)
    assert found.kind == kind and all(found.reasons)


# Objects with their names and verdicts alone; the verdicts that come of it. L live, D leftover, ? unknown, F foreign.
TIED = {
    "A1 nothing ties them": ("a:L b:D c:?", "L D ?"),
    "A1 who lives keeps what it refers to": ("a:L a:D a:D", "L L L"),
    "A1 whatever the order": ("a:D a:D a:L", "L L L"),
    "A1 who is unknown keeps as well": ("a:D a:?", "? ?"),
    "A1 life is told before a doubt": ("a:D a:? a:L", "L ? L"),
    "A1 an unknown one stays so beside a living one": ("a:? a:L", "? L"),
    "A1 a foreign one has no say": ("a:D :F", "D F"),
    "A6 one shim serves the containers of a pod": ("pod,app:L app:D pod:D side:D", "L L L D"),
    "A6 through a third one that is dead itself": ("pod:L pod,app:D app,side:D side:D", "L L L L"),
    "A8 names are compared as a whole": ("web:L web-1:D we:D", "L D D"),
    "A8 a name in capitals is another one": ("web:L WEB:D", "L D"),
    "A10 the same name in two engines": ("a:L a:D b:D", "L L D"),
    "C1 a lock that is held keeps its bundles": ("pod:? pod,app:D app:D", "? ? ?"),
    "D5 without a name nothing is tied": (":L :D :?", "L D ?"),
    "F1 a young bundle keeps its sandbox": ("pod:D pod,app:?", "? ?"),
    "of two groups only one lives": ("a:L a:D b:D b:D", "L L D D"),
    "all dead": ("a:D a,b:D b:D", "D D D"),
    "none at all": ("", ""),
}
_KINDS = {"L": LIVE, "D": LEFTOVER, "?": UNKNOWN, "F": "foreign"}


@pytest.mark.parametrize(("objects", "expected"), TIED.values(), ids=TIED)
def test_verdicts_of_those_that_are_tied(objects: str, expected: str) -> None:
    given = [one.rpartition(":") for one in objects.split()]
    names = [frozenset(filter(None, one[0].split(","))) for one in given]
    verdicts = [Verdict(_KINDS[one[2]], ("why",)) for one in given]
    labels = [f"object {number}" for number in range(len(given))]
    found = together(verdicts, names, labels)
    assert [one.kind for one in found] == [_KINDS[letter] for letter in expected.split()]
    for before, after in zip(verdicts, found):
        assert after == before or "to which it belongs, is" in after.reasons[0]


def test_A1_a_chain_of_ties_has_no_length_limit() -> None:
    """Names lead from one to the next, and the only one that lives is the last."""
    count = 5000
    names = [frozenset((str(number), str(number + 1))) for number in range(count)]
    verdicts = [Verdict(LEFTOVER, ("dead",))] * (count - 1) + [Verdict(LIVE, ("qemu runs it",))]
    found = together(verdicts, names, [f"sandbox {number}" for number in range(count)])
    assert {one.kind for one in found} == {LIVE}
    assert found[0].reasons == (f"sandbox {count - 1}, to which it belongs, is live: qemu runs it",)


ENGINE = ("containerd (pid 9, running since 02:14)",)
BROKEN = {
    "A3 an engine and nothing alive": ([LEFTOVER, UNKNOWN], ENGINE, True),
    "A3 only leftovers": ([LEFTOVER], ENGINE, True),
    "A3 something lives": ([LEFTOVER, LIVE], ENGINE, False),
    "A3 no engine": ([LEFTOVER, UNKNOWN], (), False),
    "A3 nothing to be removed": ([UNKNOWN], ENGINE, False),
    "A3 what is foreign does not live here": ([LEFTOVER, "foreign"], ENGINE, True),
    "A3 nothing at all": ([], ENGINE, False),
}


@pytest.mark.parametrize(("verdicts", "engines", "broken"), BROKEN.values(), ids=BROKEN)
def test_breaker(verdicts: list[str], engines: tuple[str, ...], broken: bool) -> None:
    text = breaker(verdicts, engines)
    assert bool(text) is broken
    assert not text or text.startswith(f"{ENGINE[0]} runs here and no live object was found")
