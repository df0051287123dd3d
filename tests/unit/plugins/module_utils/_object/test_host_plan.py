# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import InvalidInput
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_object import KINDS, Judged
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_plan import (
    VERSION,
    check_plan,
    chosen,
    plan_of,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_scan import Scan
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._object.support_host import (
    Thing,
    facts_of,
    judged,
    scan_of,
)

ROOT = Path(__file__).resolve().parents[5]
OTHER = "00000000-0000-4000-8000-000000000000"


def a_plan(*objects: Judged, **other: Any) -> Any:
    """A plan of this host as it comes back from a file; other: what is changed in it."""
    return json.loads(json.dumps({**plan_of(scan_of(*objects), "/"), **other}))


def test_the_version_is_that_of_the_collection() -> None:
    assert re.search(rf"^version: {re.escape(VERSION)}$", (ROOT / "galaxy.yml").read_text(), re.M)


def test_F2_a_plan_names_its_host_and_each_object_with_its_identity() -> None:
    one, other = judged("sandbox", "web-1", layout="kata_rs"), judged("bundle", "web-1", "live")
    plan = plan_of(scan_of(one, other, problems=("x cannot be listed",)), "/")
    assert {"machine_id", "boot_id", "host_root", "created", "collection_version"} <= plan.keys()
    assert plan["complete"] is False and plan["boot_id"] and plan["host_root"] == "/"
    identity = {"device": 0, "inode": 1, "changed": 0}
    known = {"kind": "sandbox", "layout": "kata_rs", "namespace": "", "id": "web-1", "place": "/run/sandbox/web-1"}
    assert plan["steps"] == [{**known, "identity": identity}]


def test_a_plan_comes_back_as_it_was() -> None:
    plan = a_plan(judged("sandbox", "web-1"), judged("mapping", "web-1"))
    steps = check_plan(plan, "/")
    assert list(steps.values()) == [{"device": 0, "inode": 1, "changed": 0}] * 2
    assert check_plan(a_plan(), "/") == {}


REFUSED: dict[str, tuple[Any, str]] = {
    "nothing": (None, "it is empty"),
    "an empty mapping": ({}, "it is empty"),
    "an empty list": ([], "it is empty"),
    "a text": ("all", "it is empty"),
    "a list": ([1], "it is empty"),
    "of another schema": ({"schema": 2}, "no plan of this version"),
    "the whole result with a plan in it": ({"schema": None, "plan": {"schema": 1}}, r"whole result.*Give its \.plan"),
    "without a schema": ({"schema": None}, "no plan of this version"),
    "without steps": ({"steps": None}, "no plan of this version"),
    "steps that are no list": ({"steps": {}}, "no plan of this version"),
    "F2 of another machine": ({"machine_id": OTHER}, "it was made for machine_id 00000000…"),
    "F2 of no machine": ({"machine_id": None}, "it was made for machine_id None"),
    "F2 of another boot": ({"boot_id": OTHER}, "it was made for boot_id 00000000…"),
    "F2 of another tree": ({"host_root": "/mnt"}, "it was made for host_root /mnt, and here it is /"),
    "a step that is a text": ({"steps": ["web-1"]}, r"plan.steps\[0\]: it is no step"),
    "a step without an id": ({"steps": [{"kind": "sandbox"}]}, r"plan.steps\[0\]: it is no step"),
}
STEP: dict[str, Any] = {
    "kind": "sandbox",
    "layout": "",
    "namespace": "",
    "id": "web-1",
    "place": "/run/x",
    "identity": {"inode": 1},
}
for _name, _value in {"identity": None, "id": 7, "place": None, "kind": ["sandbox"], "namespace": None}.items():
    REFUSED[f"a step whose {_name} is something else"] = ({"steps": [STEP, {**STEP, _name: _value}]}, r"steps\[1\]")
REFUSED["an identity of texts"] = ({"steps": [{**STEP, "identity": {"inode": "1"}}]}, r"steps\[0\]")


@pytest.mark.parametrize(("change", "why"), REFUSED.values(), ids=REFUSED)
def test_F2_a_plan_is_refused_whole(change: Any, why: str) -> None:
    given = a_plan(judged("sandbox", "web-1"), **change) if isinstance(change, dict) and change else change
    with pytest.raises(InvalidInput, match=why):
        check_plan(given, "/")


def test_without_a_plan_all_leftovers_are_chosen_in_order() -> None:
    objects = [judged(kind, name) for name in ("b", "a") for kind in reversed(KINDS)]
    others = [judged("sandbox", "c", verdict) for verdict in ("live", "unknown", "foreign")]
    wanted, skipped = chosen(scanned(*others, *objects), None)
    assert skipped == []
    assert [(one.candidate.kind, one.candidate.name) for one in wanted] == [(k, n) for k in KINDS for n in ("a", "b")]


def scanned(*selected: Judged, rest: Sequence[Judged] = (), problems: tuple[str, ...] = ()) -> Scan:
    return Scan(list(selected), [*selected, *rest], problems, ())


def test_A1_a_step_that_is_not_found_is_gone_only_where_all_was_looked_at() -> None:
    one = judged("sandbox", "web-1")
    steps = check_plan(a_plan(one), "/")
    for found, why in (
        (scanned(), "it is gone"),
        (scanned(rest=[one]), "it is not among the selected ones"),
        (scanned(problems=("/run/vc cannot be listed",)), "and not all could be looked at: /run/vc cannot be listed"),
    ):
        wanted, ((_key, reason),) = chosen(found, steps)
        assert not wanted and why in reason


class Counted(Thing):
    """One that counts how often it is asked for its key."""

    asked = 0

    @property
    def key(self) -> tuple[str, str, str, str, str]:
        Counted.asked += 1
        return super().key


def test_E1_each_object_is_looked_at_once_however_many_steps_are_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = check_plan(a_plan(*(judged("sandbox", f"gone-{number}") for number in range(50))), "/")
    monkeypatch.setattr(Counted, "asked", 0)
    _wanted, skipped = chosen(scanned(*(Judged(Counted("sandbox", f"{n}"), "live", ()) for n in range(50))), steps)
    assert len(skipped) == 50 and Counted.asked == 100, "among the selected ones, and among all"


class Elsewhere(Thing):
    """The same below another root."""

    def _paths(self) -> list[str]:
        return [f"/mnt{path}" for path in super()._paths()]


CHANGED = {
    "D1 it is as it was": (judged("sandbox", "web-1"), ""),
    "F2 another inode": (Judged(Thing("sandbox", "web-1", "", (facts_of(inode=2),)), "leftover", ()), "replaced"),
    "F2 another time": (Judged(Thing("sandbox", "web-1", "", (facts_of(changed=5),)), "leftover", ()), "replaced"),
    "C4 it lives now": (judged("sandbox", "web-1", "live"), "it is live now: no process names it"),
    "C4 it is unknown now": (judged("sandbox", "web-1", "unknown"), "it is unknown now"),
    "F2 below another root": (Judged(Elsewhere("sandbox", "web-1"), "leftover", ()), "it is gone"),
    "of another kind": (judged("bundle", "web-1"), "it is gone"),
    "of another layout": (judged("sandbox", "web-1", layout="kata_rs"), "it is gone"),
    "A8 of a longer name": (judged("sandbox", "web-10"), "it is gone"),
}


@pytest.mark.parametrize(("now", "why"), CHANGED.values(), ids=CHANGED)
def test_C4_a_step_is_taken_only_where_nothing_changed(now: Judged, why: str) -> None:
    steps = check_plan(a_plan(judged("sandbox", "web-1")), "/")
    wanted, skipped = chosen(scanned(now, judged("sandbox", "not planned")), steps)
    assert [one.candidate.name for one in wanted] == ([] if why else ["web-1"])
    assert [key[3] for key, _reason in skipped] == (["web-1"] if why else [])
    assert all(why in reason for _key, reason in skipped)
