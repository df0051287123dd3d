# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import math
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import InvalidInput
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_object import KINDS
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_options import (
    INFO_OPTIONS,
    PRUNE_OPTIONS,
    check_number,
    selection_of,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_scan import (
    ALL_LAYOUTS,
    Selection,
    in_order,
)
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._object.support_host import (
    Thing,
    judged,
)

GIVEN: dict[str, Any] = {"host_root": "/", "kinds": None, "layouts": None, "patterns": None, "min_age": 600.0}
REFUSED = {
    "a negative age": ({"min_age": -1.0}, "min_age: -1.0 is no number of seconds"),
    "no number": ({"min_age": math.nan}, "min_age: nan is no number"),
    "an age without end": ({"min_age": math.inf}, "min_age: inf is no number"),
    "no kinds": ({"kinds": []}, "kinds: it is empty, and that never means all"),
    "no layouts": ({"layouts": []}, "layouts: it is empty"),
    "no patterns": ({"patterns": []}, "patterns: it is empty"),
    "an empty pattern": ({"patterns": ["web-*", ""]}, "patterns: one of them is empty, and matches no id"),
}


@pytest.mark.parametrize(("change", "why"), REFUSED.values(), ids=REFUSED)
def test_refused(change: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        selection_of({**GIVEN, **change})


def test_a_selection() -> None:
    assert selection_of(GIVEN) == Selection("/", (), (), (), 600.0)
    given = {**GIVEN, "kinds": ["bundle"], "layouts": ["kata_rs"], "patterns": ["a*"], "min_age": 0.0}
    assert selection_of(given) == Selection("/", ("bundle",), ("kata_rs",), ("a*",), 0.0)


def test_a_count_may_be_zero_and_not_less() -> None:
    assert check_number({"limit": 0}, "limit") == 0
    with pytest.raises(InvalidInput, match="max_removals: -1 is no count"):
        check_number({"max_removals": -1}, "max_removals")


@pytest.mark.parametrize("options", [INFO_OPTIONS, PRUNE_OPTIONS], ids=["info", "prune"])
def test_every_kind_and_layout_can_be_asked_for(options: dict[str, dict[str, Any]]) -> None:
    assert options["kinds"]["choices"] == list(KINDS)
    assert options["layouts"]["choices"] == list(ALL_LAYOUTS)
    assert {"kata_store", "kata_persist", "kata_rs", "gvisor", "gvisor_legacy", "containerd_v2"} <= set(ALL_LAYOUTS)
    assert "default" not in options["kinds"] and options["min_age"]["default"] == 600


def test_nothing_is_removed_unless_it_is_asked_for() -> None:
    assert "default" not in PRUNE_OPTIONS["scope"] and PRUNE_OPTIONS["scope"]["choices"] == ["all_leftovers"]
    assert PRUNE_OPTIONS["stop_processes"]["default"] is False
    assert PRUNE_OPTIONS["on_mounted"]["default"] == "refuse"


SELECTED = {
    "all": (Selection(), True),
    "its kind": (Selection(kinds=("bundle", "sandbox")), True),
    "another kind": (Selection(kinds=("bundle",)), False),
    "its layout": (Selection(layouts=("kata_rs",)), True),
    "another layout": (Selection(layouts=("kata_store",)), False),
    "its id": (Selection(patterns=("web-1",)), True),
    "A8 a part of its id": (Selection(patterns=("web",)), False),
    "A8 a longer id": (Selection(patterns=("web-10",)), False),
    "a pattern": (Selection(patterns=("db-*", "web-[0-9]")), True),
    "a pattern in capitals": (Selection(patterns=("WEB-*",)), False),
    "its kind in another layout": (Selection(kinds=("sandbox",), layouts=("gvisor",)), False),
}


@pytest.mark.parametrize(("selection", "has"), SELECTED.values(), ids=SELECTED)
def test_selected(selection: Selection, has: bool) -> None:
    assert selection.has(Thing("sandbox", "web-1", "kata_rs")) is has


def test_D1_what_others_need_goes_after_them() -> None:
    assert KINDS == ("process", "daemon", "socket", "bundle", "sandbox", "mapping", "rootless", "cgroup")
    objects = [judged(kind, "x") for kind in sorted(KINDS)]
    assert [one.candidate.kind for one in in_order(objects)] == list(KINDS)
