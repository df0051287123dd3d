# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hosts that nobody thought of: nothing that lives or may live is ever touched, and all that is provably dead goes.

A removal that should not have been is the worst defect that there can be. The truth about a host is known from how it
was made, and is compared with what becomes of it.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._object import host_prune, host_scan
from ansible_collections.sandboxed.containers.tests.integration.host.building import DATA, TOPS, Ground, taken
from ansible_collections.sandboxed.containers.tests.integration.host.conftest import Host
from ansible_collections.sandboxed.containers.tests.integration.host.made_up import HOSTS, STRAY, MadeUp
from ansible_collections.sandboxed.containers.tests.integration.hostile.ground import explore
from ansible_collections.sandboxed.containers.tests.lab import mounting
from ansible_collections.sandboxed.containers.tests.lab.ansible import Result
from ansible_collections.sandboxed.containers.tests.lab.stand_ins import Crowd

pytestmark = pytest.mark.real
AGE = 100.0
# All but cgroups, which are the machine's, and so of other tests as well.
KINDS = ["process", "daemon", "socket", "bundle", "sandbox", "mapping", "rootless"]
CANARIES = {f"{top}/canary" for top in TOPS}


class Observed:
    """A host before and after. ground: what was made."""

    def __init__(self, ground: Ground, made: MadeUp) -> None:
        self.ground = ground
        self.truth = made.truth()
        self.before, self.mounts = taken(), mounting.table()

    def check_untouched(self) -> None:
        assert taken() == self.before and mounting.table() == self.mounts
        assert all(one.lives() for ones in self.ground.processes.values() for one in ones)

    def check_verdicts(self, objects: list[dict[str, Any]]) -> None:
        """Every object that lies where a thing was made."""
        for one in objects:
            paths = {str(path) for path in one.get("paths", ())}
            for thing, roots in self.ground.roots.items():
                pids = {process.pid for process in self.ground.processes[thing]}
                if paths & {str(root) for root in roots} or one.get("pid") in pids:
                    is_stray = thing.kind == STRAY  # a leftover, whether it may be ended or not
                    assert self.truth[thing] != "keep" or is_stray or one["verdict"] != "leftover", (thing, one)
                    assert self.truth[thing] != "go" or one["verdict"] == "leftover", (thing, one)

    def check_pruned(self) -> None:
        """What must stay is what it was, and what must go is gone."""
        after = taken()
        lost = {path for path, entry in self.before.items() if after.get(path) != entry}
        assert after.keys() <= self.before.keys()
        for thing, fate in self.truth.items():
            roots = tuple(str(root) for root in self.ground.roots[thing])
            if fate == "keep":
                mine = {path for path in lost if path in roots or path.startswith(tuple(f"{root}/" for root in roots))}
                assert not mine, thing
                assert all(one.lives() for one in self.ground.processes[thing]), thing
            elif fate == "go":
                assert not [root for root in roots if root in after], thing
                assert not any(one.lives() for one in self.ground.processes[thing]), thing
        assert not {path for path in lost if path.startswith(f"{DATA}/") or path in CANARIES}


def deleted(answer: Result) -> list[tuple[str, str, str]]:
    return [
        (one["kind"], one["id"], str(one.get("paths")))
        for one in answer.answer["objects"]
        if one["action"] == "deleted"
    ]


def check(machine: Host, ground: Ground, made: MadeUp, monkeypatch: pytest.MonkeyPatch) -> None:
    ground.build(made)
    # A clock on which what was made first is just old enough; change times cannot be set.
    clock = SimpleNamespace(time=lambda: ground.between + AGE)
    for module in (host_scan, host_prune):
        monkeypatch.setattr(module, "time", clock)
    seen = Observed(ground, made)
    objects = machine.objects(min_age=AGE, limit=10_000, kinds=KINDS)
    seen.check_verdicts(objects)
    terms = {
        "min_age": AGE,
        "kinds": KINDS,
        "on_mounted": "unmount" if made.unmount else "refuse",
        "stop_processes": made.stop,
    }
    tried = machine.prune(_ansible_check_mode=True, _ansible_diff=True, **terms)
    seen.check_untouched()
    done = machine.prune(_ansible_diff=True, **terms)
    if made.engine == "runs" and not any(one["verdict"] == "live" for one in objects) and done.failed:
        assert "something is hidden" in done.message
        seen.check_untouched()
        return
    assert not done.failed and not tried.failed, done.message
    seen.check_pruned()
    assert deleted(tried) == deleted(done) and tried.answer["diff"] == done.answer["diff"], done.answer["objects"]
    if any("residue" in one.extras for one in made.things):
        assert not machine.prune(**terms).failed  # what Kata 1.11 leaves in the old store goes after its sandbox
    seen.before, seen.mounts = taken(), mounting.table()
    again = machine.prune(**terms)
    assert not again.changed and not again.failed and taken() == seen.before, again.answer


@pytest.mark.parametrize("examples", [15, pytest.param(150, marks=pytest.mark.long)], ids=["few", "many"])
def test_nothing_that_lives_or_may_live_is_touched(
    machine: Host, crowd: Crowd, examples: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ground = Ground(crowd)
    try:
        explore(lambda made: check(machine, ground, made, monkeypatch), examples, made=HOSTS)
    finally:
        ground.clear()
