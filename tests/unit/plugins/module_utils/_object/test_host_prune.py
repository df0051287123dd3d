# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import gc
import time
import weakref
from typing import cast

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis import host
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import InUse, NotProved
from ansible_collections.sandboxed.containers.plugins.module_utils._object import host_prune
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_object import Candidate, Terms
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_prune import Pruner, _kept
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_registries import Registries
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_scan import Scan, Selection
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_task import _refuse
from ansible_collections.sandboxed.containers.plugins.module_utils._object.items import Item, Outcome, Plan
from ansible_collections.sandboxed.containers.plugins.module_utils._object.verdict import Evidence
from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._object.support_host import (
    Thing,
    facts_of,
    judged,
    process,
    scan_of,
    view_of,
)


def test_A1_a_view_keeps_the_object_whose_evidence_it_keeps() -> None:
    """Or the next object, which may get the same id(), would get its evidence."""
    pruner, view = Pruner(scan_of(), [], Selection(), Terms(False, False)), view_of()
    one = Thing("sandbox", "web-1")
    assert pruner._evidence(one, view) is not None
    known = weakref.ref(one)
    del one
    gc.collect()
    assert known() is not None


@pytest.mark.parametrize(("before_boot", "kept"), [(90_000, True), (-1, False)])
def test_F1_the_last_look_keeps_what_is_on_memory_and_older_than_the_boot(before_boot: int, kept: bool) -> None:
    """As the scan does: then the clock was stepped, and its age says nothing."""
    facts = (facts_of(changed=host.boot_time() - before_boot),)
    wanted = judged("socket", "web-1")._replace(candidate=Thing("socket", "web-1", facts=facts))
    pruner = Pruner(scan_of(wanted), [wanted], Selection(min_age=0), Terms(False, False))
    item = cast(Item, object())
    pruner._by_item[id(item)] = wanted
    pruner._guard(item, view_of())  # the first plan, made right after the scan
    if kept:
        with pytest.raises(InUse, match="it is older than this boot"):
            pruner._guard(item, view_of())
    else:
        pruner._guard(item, view_of())


class Of(Thing):
    """One of a sandbox, which is dead unless it is named so. looks: how often any was judged."""

    looks = 0

    def _names(self) -> frozenset[str]:
        return frozenset((self.name, "web-1"))

    def evidence(self, view: HostView) -> Evidence:
        Of.looks += 1
        return Evidence(owners=("pid 7 serves it",)) if self.name == "lives" else Evidence(dead=("no process",))


@pytest.mark.parametrize("last", ["dies", "lives"])
def test_E2_what_is_tied_is_judged_once_in_a_view(monkeypatch: pytest.MonkeyPatch, last: str) -> None:
    monkeypatch.setattr(Of, "looks", 0)
    doubted: list[Candidate] = []

    def doubts_of(one: Candidate, *_more: object) -> tuple[str, ...]:
        doubted.append(one)
        return ()

    monkeypatch.setattr(host_prune, "doubts_of", doubts_of)
    wanted = [judged("mapping", name)._replace(candidate=Of("mapping", name)) for name in ("a", "b", "c", last)]
    pruner = Pruner(scan_of(*wanted), wanted, Selection(min_age=0), Terms(False, False))
    items = [cast(Item, object()) for _one in wanted]
    pruner._by_item.update({id(item): one for item, one in zip(items, wanted)})
    for turn in range(2):
        view = view_of()
        for item in items:
            if turn and last == "lives":
                own = "^pid 7" if item is items[3] else "^mapping lives, to which it belongs: pid 7 serves it"
                with pytest.raises(InUse, match=own):
                    pruner._guard(item, view)
            else:
                pruner._guard(item, view)
    assert Of.looks == len(doubted) == 4


def test_B4_under_the_locks_all_is_read_before_anybody_asks_for_processes() -> None:
    order: list[str] = []

    class Noted(Thing):
        def _read(self, view: HostView, held: bool) -> bool:
            order.append(f"read {self.name}")
            return True

        def evidence(self, view: HostView) -> Evidence:
            order.append(f"judge {self.name}")
            return Evidence()

    class Locked:
        locks = (type("Lock", (), {"inode": (1, 1)})(),)

    wanted = [judged("socket", name)._replace(candidate=Noted("socket", name)) for name in ("a", "b")]
    pruner = Pruner(scan_of(*wanted), wanted, Selection("/x", min_age=0), Terms(False, False))
    items = [cast(Item, Locked()) for _one in wanted]
    for item, one in zip(items, wanted):
        pruner._by_item[id(item)], pruner._items[id(one.candidate)] = one, item
        pruner._planned.add(id(item))
    view = view_of(host_root="/x")
    for item in items:
        pruner._guard(item, view)
    assert order == ["read a", "read b", "judge a", "judge b"]


@pytest.mark.parametrize(("acted", "action"), [(False, "skipped"), (True, "failed")])
def test_what_was_changed_before_it_was_kept_is_a_failure(acted: bool, action: str) -> None:
    item = cast(Item, type("Acted", (), {"acted": acted})())
    outcome = Outcome(item, Plan("deleted"), "failed", InUse("", "somebody came", "It was put back."))
    assert _kept(outcome).action == action


def test_A3_what_lives_counts_whether_it_is_selected_or_not() -> None:
    left, live = judged("socket", "a"), judged("sandbox", "b", "live")
    _refuse(Scan([left], [left, live], (), ("containerd",)), [left], 0)
    with pytest.raises(NotProved, match="no live object was found"):
        _refuse(Scan([left], [left], (), ("containerd",)), [left], 0)


@pytest.mark.parametrize("serves", [False, True])
def test_A6_who_comes_to_serve_it_before_it_goes_keeps_it(serves: bool) -> None:
    machine = process("/usr/bin/qemu-system-x86_64 -name sandbox-web-1 -qmp unix:/run/vc/vm/web-1/qmp.sock")
    wanted = judged("bundle", "web-1")._replace(
        candidate=Thing("bundle", "web-1", facts=(facts_of(changed=time.time() - 60),))
    )
    pruner = Pruner(scan_of(wanted), [wanted], Selection("/", min_age=0), Terms(False, False))
    item = cast(Item, type("Item", (), {"locks": ()})())
    pruner._by_item[id(item)] = wanted
    pruner._planned.add(id(item))
    view = view_of(*([machine] if serves else []))
    view.once(("registries", "/"), lambda: Registries({}, ()))
    if serves:
        with pytest.raises(InUse, match="serves it"):
            pruner._guard(item, view)
    else:
        pruner._guard(item, view)
