# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What one pass over a host takes for unknown, and in which order it looks."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import Unreadable
from ansible_collections.sandboxed.containers.plugins.module_utils._object import host_scan
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_object import Candidate
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_reading import Found
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_registries import Lister, Registries
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_scan import Selection, scan
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_verdicts import Clock
from ansible_collections.sandboxed.containers.plugins.module_utils._object.verdict import Evidence
from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._object.support_host import (
    Thing,
    facts_of,
    view_of,
)


@pytest.mark.parametrize("kind", ["sandbox", "bundle", "mapping", "process", "cgroup"])
def test_A5_what_an_engine_lists_is_in_doubt_whatever_it_is(kind: str) -> None:
    view = view_of()
    view.once(("registries", "/"), lambda: Registries({"web-1": {Lister("Docker")}}, ()))
    clock = Clock(2000.0, 1000.0, 0.0)
    doubts = host_scan.doubts_of(Thing(kind, "web-1", facts=(facts_of(changed=1500.0),)), view, "/", clock)
    assert doubts == ("Docker lists web-1",)


@pytest.mark.parametrize(
    ("kind", "unknown"), [("mapping", True), ("cgroup", True), ("sandbox", False), ("process", False)]
)
def test_A1_what_says_nothing_of_itself_is_unknown_where_not_all_was_listed(kind: str, unknown: bool) -> None:
    found = Found(Thing(kind, "web-1"), Evidence())
    (seen,) = host_scan._with_their_owners([found], view_of(host_root="/x"), "/x", ["/run/vc cannot be listed"])
    assert seen.evidence is not None
    assert seen.evidence.unknown == (("/run/vc cannot be listed",) if unknown else ())


def test_B4_who_finds_files_by_processes_does_not_decide_by_these(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where engines keep their files is asked of processes, before these are read; what decides is looked at anew."""
    asked: list[HostView] = []
    first = view_of(host_root="/x")

    def doubts(_one: Candidate, view: HostView, *_more: Any) -> tuple[str, ...]:
        asked.append(view)
        return ()

    monkeypatch.setattr(host_scan, "find_all", lambda *_given: [Thing("sandbox", "web-1")])
    monkeypatch.setattr(host_scan, "doubts_of", doubts)
    scan(Selection("/x", min_age=0), first)
    assert asked and first not in asked


def test_E2_where_it_is_not_told_which_processes_are_a_daemons_each_may_be_one() -> None:
    class Hidden(Thing):
        def pids(self, view: HostView) -> set[int]:
            raise Unreadable("/run/x.json", "Permission denied")

    problems: list[str] = []
    host_scan._processes(view_of(), [Hidden("daemon", "web")], problems)
    assert len(problems) == 1 and "which processes are those of daemon web cannot be told" in problems[0]


@pytest.mark.parametrize("lives", [True, False])
def test_A6_who_owns_a_sandbox_owns_the_mappings_that_lead_to_it(lives: bool) -> None:
    class Leading(Thing):
        def _names(self) -> frozenset[str]:
            return frozenset({"app-1", "web-1"})

    owners = ("qemu runs it",) if lives else ()
    found = [
        Found(Thing("sandbox", "web-1", "kata_persist"), Evidence(owners)),
        Found(Leading("mapping", "app-1"), Evidence()),
    ]
    seen = host_scan._with_their_owners(found, view_of(host_root="/x"), "/x", [])
    assert seen[1].evidence is not None and seen[1].evidence.owners == owners
